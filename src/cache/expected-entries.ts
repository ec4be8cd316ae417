import type { Call } from './call.ts'
import type { Invalidations, Tick } from './invalidations.ts'
import type { Found } from './store.ts'

const maxKeys = 5_000

interface Expected {
  /** What this process had learned when the entry was read. */
  readonly begun: Tick
  readonly freshUntil: number
  readonly tags: readonly string[]
}

/** Where a read began: what this process had learned by then, and when that was. */
interface Begin {
  readonly begun: Tick
  readonly begunAt: number
}

/** Which entries are likely to be fresh in the store still, because the latest read found them so. */
export class ExpectedEntries {
  readonly #order: Invalidations
  readonly #found = new Map<string, Expected>()

  constructor(order: Invalidations) {
    this.#order = order
  }

  /** Takes in what a read has found. */
  learn(key: string, { state, entry, ageMs = 0 }: Found, { begun, begunAt }: Begin): void {
    if (state !== 'fresh' || entry === undefined) {
      this.#found.delete(key)
      return
    }
    const { ttlMs, tags } = entry.header
    if (this.#found.size >= maxKeys) this.#found.clear()
    this.#found.set(key, { begun, freshUntil: begunAt - ageMs + ttlMs, tags })
  }

  /** Whether a fresh entry with just the tags of the call is likely. */
  has({ key, tags }: Call, now: number): boolean {
    const expected = this.#found.get(key)
    if (expected === undefined || now >= expected.freshUntil || tags.length !== expected.tags.length) return false
    return tags.every((tag, index) => tag === expected.tags[index]) && this.#order.isCurrent(expected.begun, key, tags)
  }
}
