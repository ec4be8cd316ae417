/** Lets one holder in at a time, in the order they came. */
export class Turns {
  #held = false
  readonly #waiting: (() => void)[] = []

  /** Resolves when it is the caller's turn; `undefined` when it is at once. */
  take(): Promise<void> | undefined {
    if (this.#held) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#held = true
    return undefined
  }

  pass(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#held = false
    else next()
  }
}
