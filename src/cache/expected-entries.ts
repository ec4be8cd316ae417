import { LRUCache } from 'lru-cache'
import type { Call } from './call.ts'
import type { Invalidations, Tick } from './invalidations.ts'
import type { Found } from './store.ts'

const maxKeys = 10_000

interface Expected {
  /** What this process had learned when the entry was read. */
  readonly begun: Tick
  readonly freshUntil: number
  readonly tags: readonly string[]
}

/** Which entries are likely to be in the store still, because a read has found them there. */
export class ExpectedEntries {
  readonly #order: Invalidations
  readonly #found = new LRUCache<string, Expected>({ max: maxKeys })

  constructor(order: Invalidations) {
    this.#order = order
  }

  /** Takes in what a read that began at a tick has found. */
  add(key: string, { state, entry, ageMs = 0 }: Found, begun: Tick, now: number): void {
    if (state !== 'fresh' || entry === undefined) return
    const { ttlMs, tags } = entry.header
    this.#found.set(key, { begun, freshUntil: now - ageMs + ttlMs, tags })
  }

  /** Whether a fresh entry with just the tags of the call is likely. */
  has({ key, tags }: Call, now: number): boolean {
    const expected = this.#found.get(key)
    if (expected === undefined || now >= expected.freshUntil || tags.length !== expected.tags.length) return false
    if (!tags.every((tag, index) => tag === expected.tags[index])) return false
    return this.#order.isCurrent(expected.begun, key, tags)
  }
}
