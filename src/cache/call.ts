import type { CoarseTime } from './coarse-time.ts'
import type { Entries } from './entries.ts'
import type { Events } from './events.ts'
import type { ExpectedEntries } from './expected-entries.ts'
import type { FairDeadline } from './fair-deadline.ts'
import type { Invalidations } from './invalidations.ts'
import type { MemoryTier } from './memory-tier.ts'
import type { CacheSettings } from './options.ts'
import type { Profile } from './profile.ts'
import type { StoreTier } from './store-tier.ts'
import type { LoadContext } from './types.ts'

/** The parts of a cache. */
export interface Parts {
  readonly settings: CacheSettings
  readonly memory: MemoryTier
  readonly store: StoreTier | undefined
  /** Whether this process knows of every invalidation that it should by then have heard of. */
  readonly coherence: { covers(now: number): boolean }
  readonly order: Invalidations
  readonly expected: ExpectedEntries
  readonly entries: Entries
  readonly events: Events
  readonly time: CoarseTime
  readonly loadDeadline: FairDeadline
}

/** One caller's question, its options resolved. */
export interface Call {
  readonly key: string
  readonly load: (ctx: LoadContext) => unknown
  readonly profile: Profile
  readonly ttlMs: number
  readonly staleMs: number
  readonly tags: readonly string[]
  /** Tags that follow from the value. */
  readonly tagsOf?: ((value: unknown) => readonly string[]) | undefined
  readonly isFresh: boolean
  /** Whether its load may find out that there is no value; others who wait for it then load for themselves. */
  readonly isPartOfMany: boolean
  readonly signal: AbortSignal | undefined
}

/** A load of many found no value for one of the keys. */
export class NoValueError extends Error {}
