/** The most keys in all commands under way. Redis answers so many in a small part of the shortest deadline in use. */
export const maxKeysUnderWay = 1_000

/**
 * Bounds how much is under way at once. What must wait is not sent yet, so the time does not count as the store's. One slot
 * is one key: a group of 250 keys takes 250 slots.
 */
export class Slots {
  readonly #capacity: number
  #used = 0
  readonly #waiting: { readonly size: number; readonly start: () => void }[] = []

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** Takes slots, at once or when the returned promise resolves. Those that have waited longest come first. */
  take(asked: number): Promise<void> | undefined {
    const size = Math.min(asked, this.#capacity)
    if (this.#waiting.length === 0 && this.#used + size <= this.#capacity) {
      this.#used += size
      return undefined
    }
    return new Promise((start) => this.#waiting.push({ size, start }))
  }

  give(asked: number): void {
    this.#used -= Math.min(asked, this.#capacity)
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#used + next.size > this.#capacity) return
      this.#used += next.size
      this.#waiting.shift()
      next.start()
    }
  }
}
