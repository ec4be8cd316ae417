/** Names, each with when something last happened to it. Bounded: the ones longest ago are forgotten first. */
export class RecentNames {
  readonly #max: number
  readonly #at = new Map<string, number>()

  constructor(max: number) {
    this.#max = max
  }

  get(name: string): number | undefined {
    return this.#at.get(name)
  }

  /** Returns the latest time that was forgotten for it, or 0. */
  add(names: readonly string[], at: number): number {
    for (const name of names) {
      this.#at.delete(name)
      this.#at.set(name, at)
    }
    let forgotten = 0
    for (const [name, time] of this.#at) {
      if (this.#at.size <= this.#max) break
      this.#at.delete(name)
      forgotten = time
    }
    return forgotten
  }

  since(time: number): string[] {
    return [...this.#at].filter(([, at]) => at >= time).map(([name]) => name)
  }

  clear(): void {
    this.#at.clear()
  }
}
