/** A map that keeps the most recently used entries. */
export class RecentMap<Value> {
  readonly max: number
  readonly #onRemoved: ((value: Value) => void) | undefined
  /** The entries in the order of their last use. */
  readonly #entries = new Map<string, Value>()
  /** The most recently used key. It is at the end already, and need not be moved there. */
  #last: string | undefined

  /**
   * @param max - how many entries are kept, from 1 up
   * @param onRemoved - receives each value that was pushed out or deleted
   */
  constructor(max: number, onRemoved?: (value: Value) => void) {
    this.max = max
    this.#onRemoved = onRemoved
  }

  get(key: string): Value | undefined {
    const value = this.#entries.get(key)
    if (value !== undefined && key !== this.#last) this.#moveToEnd(key, value)
    return value
  }

  /** Like {@link get}, but does not count as a use. */
  peek(key: string): Value | undefined {
    return this.#entries.get(key)
  }

  set(key: string, value: Value): void {
    this.#moveToEnd(key, value)
    if (this.#entries.size > this.max) this.#shrink()
  }

  setAll(keys: readonly string[], value: Value): void {
    for (const key of keys) this.#moveToEnd(key, value)
    if (this.#entries.size > this.max) this.#shrink()
  }

  delete(key: string): void {
    const value = this.#entries.get(key)
    if (value === undefined) return
    this.#entries.delete(key)
    this.#onRemoved?.(value)
  }

  clear(): void {
    this.#entries.clear()
  }

  /** The entries in the order of their last use. */
  entries(): Iterable<readonly [key: string, value: Value]> {
    return this.#entries
  }

  /** The oldest entries are found in one pass, because a new iterator passes the places of all that were deleted before. */
  #shrink(): void {
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.max) return
      this.delete(key)
    }
  }

  #moveToEnd(key: string, value: Value): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    this.#last = key
  }
}
