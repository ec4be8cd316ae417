import { isWorkers } from '../../shared/platform/runtime.ts'
import type { Reads } from '../../shared/scope/reads.ts'
import type { CoarseTime } from '../../shared/time/clock.ts'
import type { Profile } from '../profile.ts'
import { countHit, FifoCache, type FifoNode } from './fifo-cache.ts'
import type { Change, InvalidationLog, Sequence, Start } from './invalidation-log.ts'

/** Everything about a new entry except its value. */
export interface NewEntry extends Start {
  readonly profile: Profile
  readonly ttlMs: number
  readonly staleMs: number
  readonly tags: readonly string[]
  /** How long its load took. */
  readonly costMs: number
  /** Whether it was read as stale because one of its tags was invalidated with `serveStale`. */
  readonly isInvalidated?: boolean | undefined
}

/** How long an entry may be used, in the cache's own time. */
interface Lifetime {
  readonly readyUntil: number
  readonly loadedAt: number
  readonly refreshCheckAt: number
  readonly freshUntil: number
  readonly staleUntil: number
  readonly verifiedUntil: number
}

/** A tick before all others, even if the clock was set back. */
const neverReady = -(2 ** 30)

/** A value in this process's memory. */
export class MemoryEntry implements FifoNode {
  // The fields that a hit reads come first, so that they share a line of the processor's cache.
  readonly value: unknown
  /** The sequence at which its tags were last found current. */
  checkedSequence: Sequence
  /**
   * Until then, in ticks of {@link CoarseTime}, a hit need not look at the times below. V8 stores a small integer in the
   * object itself; any other number is an object of its own, which a hit would have to fetch as well.
   */
  readyUntil: number
  hits = 0
  #promise: Promise<unknown> | undefined
  readonly tags: readonly string[]
  readonly profile: Profile
  /** From then on a hit must decide whether to refresh: the entry is stale, or `refreshAhead` may renew it early. */
  refreshCheckAt: number
  /** Until then the entry may be served even if this process is cut off from the store. */
  readonly verifiedUntil: number
  /** The sequence at which its read or load began. */
  readonly sequence: Sequence
  readonly loadedAt: number
  freshUntil: number
  /** Until then the entry may be served while a load renews it. */
  staleUntil: number
  /** For how long it may be served once it is stale. */
  readonly staleMs: number
  /** How long its load took. */
  readonly costMs: number
  readonly bytes: number
  /** Whether it is stale because one of its tags was invalidated with `serveStale`. */
  isInvalidated: boolean
  key = ''
  size = 0
  queue: FifoNode['queue'] = undefined
  previous: FifoNode | undefined = undefined
  next: FifoNode | undefined = undefined

  constructor(value: unknown, bytes: number, about: NewEntry, life: Lifetime) {
    const { profile, tags, sequence, costMs, staleMs, isInvalidated = false } = about
    this.value = value
    this.checkedSequence = sequence
    this.readyUntil = life.readyUntil
    this.refreshCheckAt = life.refreshCheckAt
    this.verifiedUntil = life.verifiedUntil
    this.profile = profile
    this.tags = tags
    this.sequence = sequence
    this.loadedAt = life.loadedAt
    this.staleMs = staleMs
    this.freshUntil = life.freshUntil
    this.staleUntil = life.staleUntil
    this.costMs = costMs
    this.bytes = bytes
    this.isInvalidated = isInvalidated
  }

  /** The value as a promise. It is made once, so that hits allocate nothing; on Workers for each request. */
  get promise(): Promise<unknown> {
    if (isWorkers) return Promise.resolve(this.value)
    this.#promise ??= Promise.resolve(this.value)
    return this.#promise
  }

  /** Ends its freshness, and bounds the time for which it may still be served. */
  makeStale(at: number): void {
    this.isInvalidated = true
    this.readyUntil = neverReady
    this.refreshCheckAt = Math.min(this.refreshCheckAt, at)
    this.freshUntil = Math.min(this.freshUntil, at)
    this.staleUntil = Math.min(this.staleUntil, at + this.staleMs)
  }

  /** Whether the entry has all the tags that a caller names. */
  hasTags(named: readonly string[]): boolean {
    const { tags } = this
    for (let index = 0; index < named.length; index++) {
      const tag = named[index] as string
      if (tags[index] !== tag && !tags.includes(tag)) return false
    }
    return true
  }
}

interface MemoryDependencies {
  readonly limits: false | { readonly maxEntries: number; readonly maxBytes: number }
  readonly log: InvalidationLog
  readonly time: CoarseTime
  /** Knows whether this process has heard of every invalidation in the store. */
  readonly coherence: { isVerifiedAt(now: number): boolean; readonly seenStamp: number }
  /** How long an entry counts as verified by its own read or load. */
  readonly verifiedForMs: number
}

/** Heap of an entry beside its key, value and tags: the object, its promise, its place in the map and the lists. */
const overheadBytes = 512
const tagBytes = 64

/** Early refreshes begin at most this many load times before an entry expires. Before that the chance is 1 in 22,000. */
const earlyFactor = 10

/** The entries in this process's memory. Decides whether an entry may be served, and evicts by number and estimated bytes. */
export class MemoryTier {
  /** `undefined` for `memory: false`. */
  readonly #entries: FifoCache<MemoryEntry> | undefined
  readonly #log: InvalidationLog
  readonly #time: CoarseTime
  readonly #coherence: MemoryDependencies['coherence']
  readonly #verifiedForMs: number

  constructor({ limits, log, time, coherence, verifiedForMs }: MemoryDependencies) {
    const isDead = (entry: MemoryEntry) => this.#isDead(entry)
    this.#entries = limits === false ? undefined : new FifoCache({ ...limits, isDead })
    this.#log = log
    this.#time = time
    this.#coherence = coherence
    this.#verifiedForMs = verifiedForMs
  }

  /** The start of a read or a load that begins now. */
  start(): Start {
    return { sequence: this.#log.sequence, startedAt: this.#time.exact() }
  }

  get isEnabled(): boolean {
    return this.#entries !== undefined
  }

  /** The entry, if it may be served at once: it is current, verified, and not due for a refresh. The hot path. */
  getReady(key: string): MemoryEntry | undefined {
    const entry = this.get(key)
    if (entry === undefined) return undefined
    if (entry.checkedSequence !== this.#log.sequence && !this.#areTagsCurrent(entry)) return undefined
    if (this.#time.tick() >= entry.readyUntil && !this.#isReady(entry)) return undefined
    countHit(entry)
    return entry
  }

  /**
   * Whether work with these reads may be given values from memory. Where this process hears of no changes, a value may lack
   * one that the store has, and the tags of a load that used it would not show that.
   */
  mayServe(reads: Reads | undefined): boolean {
    return reads?.isLoad !== true || this.#coherence.seenStamp !== Number.NEGATIVE_INFINITY
  }

  /** The entry, whatever its age. */
  get(key: string): MemoryEntry | undefined {
    return this.#entries?.get(key)
  }

  /** Whether the entry is neither invalidated nor unverified. */
  isCurrent(entry: MemoryEntry): boolean {
    const now = this.#time.now()
    if (now >= entry.verifiedUntil && !this.#coherence.isVerifiedAt(now)) return false
    return entry.checkedSequence === this.#log.sequence || this.#areTagsCurrent(entry)
  }

  /** Whether this process has heard of every invalidation after `time`, except those of the last `coherence.within`. */
  isVerifiedSince(time: number): boolean {
    const now = this.#time.exact()
    return now < time + this.#verifiedForMs || this.#coherence.isVerifiedAt(now)
  }

  createEntry(value: unknown, bytes: number, about: NewEntry, ageMs = 0): MemoryEntry {
    const { profile, ttlMs, staleMs, startedAt, costMs } = about
    const loadedAt = this.#time.exact() - ageMs
    const lifeMs = profile.memoryTtlMs + ageMs
    const freshUntil = loadedAt + Math.min(ttlMs, lifeMs)
    const refreshCheckAt = freshUntil - (profile.refreshAhead ? costMs * earlyFactor : 0)
    const verifiedUntil = startedAt + this.#verifiedForMs
    return new MemoryEntry(value, bytes, about, {
      loadedAt,
      readyUntil: this.#time.tickOf(Math.min(refreshCheckAt, verifiedUntil)),
      refreshCheckAt,
      freshUntil,
      staleUntil: loadedAt + Math.min(ttlMs + staleMs, lifeMs),
      verifiedUntil,
    })
  }

  set(key: string, entry: MemoryEntry): void {
    const { bytes, tags } = entry
    this.#entries?.set(key, entry, bytes + 2 * key.length + tagBytes * tags.length + overheadBytes)
  }

  /** Stores an entry that was read, unless it has been invalidated meanwhile or a newer one is there. */
  setIfNewest(key: string, entry: MemoryEntry): void {
    if (!this.#log.isCurrent(entry.sequence, key, entry.tags)) return
    const present = this.get(key)
    if (present === undefined || present.sequence < entry.sequence || present.loadedAt <= entry.loadedAt) {
      this.set(key, entry)
    }
  }

  /** Removes the entry of the key; with `entry` given, only if the key still has that entry. */
  delete(key: string, entry: MemoryEntry | undefined = this.get(key)): void {
    if (this.get(key) === entry) this.#entries?.delete(key)
  }

  /** Removes entries, and makes reads and loads that are under way outdated. */
  outdate(change: Change): void {
    this.#log.record(change, this.#time.exact())
    for (const key of change.keys) this.#entries?.delete(key)
    if (change.all) this.clear()
  }

  clear(): void {
    this.#entries?.clear()
  }

  stats(): { readonly entries: number; readonly bytes: number; readonly evictions: number } {
    const { entries = 0, bytes = 0, evictions = 0 } = this.#entries ?? {}
    return { entries, bytes, evictions }
  }

  /** Whether no tag was invalidated since the entry's load began. Makes the entry stale if a tag says so. */
  #areTagsCurrent(entry: MemoryEntry): boolean {
    const { sequence, tags } = entry
    if (!this.#log.areTagsCurrent(sequence, tags)) {
      if (!this.#log.areTagsValid(sequence, tags)) return false
      // An entry cannot be stale before it was loaded.
      entry.makeStale(Math.max(this.#log.staleSince(sequence, tags) ?? 0, entry.loadedAt))
    }
    entry.checkedSequence = this.#log.sequence
    return true
  }

  #isReady({ refreshCheckAt, verifiedUntil }: MemoryEntry): boolean {
    const now = this.#time.now()
    return now < refreshCheckAt && (now < verifiedUntil || this.#coherence.isVerifiedAt(now))
  }

  #isDead(entry: MemoryEntry): boolean {
    if (this.#time.now() >= entry.staleUntil) return true
    return entry.checkedSequence !== this.#log.sequence && !this.#areTagsCurrent(entry)
  }
}
