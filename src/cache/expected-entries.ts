import type { Invalidations, Tick } from './invalidations.ts'
import type { Found } from './store.ts'
import { areSameTags } from './tags.ts'

const maxKeys = 5_000
/** A look in vain costs a round trip, which over a network is as long as what 20 or 40 looks save. */
const likelyShare = 0.98
/** How many first reads the share looks back on, about. */
const window = 32

interface Expected {
  /** What this process had learned when the entry was read. */
  readonly begun: Tick
  readonly freshUntil: number
  readonly tags: readonly string[]
}

/** What is asked for. */
interface Question {
  readonly key: string
  readonly tags: readonly string[]
}

/** Where a read began: what this process had learned by then, and when that was. */
interface Begin {
  readonly begun: Tick
  readonly begunAt: number
}

/**
 * Which entries are likely to be fresh in the store: those that the latest read found so, and, while nearly every first read
 * does, all of which nothing is known.
 */
export class ExpectedEntries {
  readonly #order: Invalidations
  readonly #found = new Map<string, Expected>()
  /** The share of first reads, lately, that have found what was expected. */
  #share = 0

  constructor(order: Invalidations) {
    this.#order = order
  }

  /** Takes in what a read for a call has found. */
  learn({ key, tags }: Question, { state, entry, ageMs = 0 }: Found, { begun, begunAt }: Begin): void {
    const isFresh = state === 'fresh' && entry !== undefined
    if (!this.#found.has(key)) {
      const isHit = isFresh && areSameTags(entry.header.tags, tags)
      this.#share += (Number(isHit) - this.#share) / window
    }
    if (!isFresh) {
      this.#found.delete(key)
      return
    }
    if (this.#found.size >= maxKeys) this.#found.clear()
    this.#found.set(key, { begun, freshUntil: begunAt - ageMs + entry.header.ttlMs, tags: entry.header.tags })
  }

  /** Whether a fresh entry with just the tags of the call is likely. */
  has({ key, tags }: Question, now: number): boolean {
    const expected = this.#found.get(key)
    if (expected === undefined) return this.#share > likelyShare
    return (
      now < expected.freshUntil && areSameTags(expected.tags, tags) && this.#order.isCurrent(expected.begun, key, tags)
    )
  }
}
