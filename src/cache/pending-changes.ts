import type { Change } from './coherence.ts'

const maxPending = 10_000

/** Changes that the store could not be told of. Beyond 10,000 names they become one change of everything. */
export class PendingChanges {
  readonly #tags = new Set<string>()
  readonly #keys = new Set<string>()
  #isAll = false

  get size(): number {
    return this.#isAll ? 1 : this.#tags.size + this.#keys.size
  }

  add(change: Change): void {
    for (const tag of change.tags) this.#tags.add(tag)
    for (const key of change.keys) this.#keys.add(key)
    this.#isAll ||= change.all || this.size > maxPending
    if (this.#isAll) this.#forgetNames()
  }

  /** What is pending, taken out. */
  take(): Change {
    const change = { tags: [...this.#tags], keys: [...this.#keys], all: this.#isAll }
    this.#isAll = false
    this.#forgetNames()
    return change
  }

  #forgetNames(): void {
    this.#tags.clear()
    this.#keys.clear()
  }
}
