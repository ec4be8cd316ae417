import { wait } from '../shared/scope/wait-names.ts'
import { timeWait } from '../shared/scope/work.ts'
import { startInterval, type Timer } from '../shared/time/timers.ts'
import { type Call, expectTags, resolveEntry } from './call-options.ts'
import type { StoreCounters } from './counters.ts'
import { type Events, toEvent } from './events.ts'
import type { Change, InvalidationLog } from './memory/invalidation-log.ts'
import type { MemoryEntry, MemoryTier, NewEntry } from './memory/memory-tier.ts'
import type { CacheSettings } from './options.ts'
import type { Profile } from './profile.ts'
import type { Loaded, SharedLoad } from './shared-load.ts'
import { type Lease, leaseMs, type StoredEntry } from './store/store.ts'
import type { StoreTier } from './store/store-tier.ts'
import type { EntryOptions, Invalidation, LoadContext } from './types.ts'
import { compress } from './value/compression.ts'
import { type Inspection, inspectValue } from './value/inspect-value.ts'
import { encodeValue, fitsWhenDecoded } from './value/value-codec.ts'

interface WriterDependencies {
  readonly settings: CacheSettings
  readonly memory: MemoryTier
  readonly log: InvalidationLog
  readonly store: StoreTier | undefined
  readonly counters: StoreCounters
  readonly events: Events
  /** Called after each invalidation in memory, so that no caller joins an outdated load. */
  readonly onOutdated: (change: Change) => void
}

/** Stores values in both tiers, and invalidates entries in them. */
export class Writer {
  readonly #dependencies: WriterDependencies

  /** What the latest `set` of each key has put in memory, until it is sent to the store. */
  readonly #unsent = new Map<string, MemoryEntry>()
  readonly #held = new Set<{ readonly key: string; readonly lease: Lease; readonly load: SharedLoad }>()
  /** One timer renews all leases, so that they share round trips. It stops when no lease is left. */
  #renewal: Timer | undefined

  constructor(dependencies: WriterDependencies) {
    this.#dependencies = dependencies
  }

  /**
   * Stores a loaded value in both tiers, unless it was invalidated since the load began. If the load called `skip`, or the
   * value is not plain data, the older value is dropped and nothing replaces it. Uses up the lease.
   */
  async storeLoaded(
    load: SharedLoad,
    call: Call,
    loaded: Loaded,
    lease: Lease | undefined,
    stale: LoadContext['stale'],
  ): Promise<void> {
    const { memory, store } = this.#dependencies
    const { key, profile, staleMs } = call
    if (call.tagsOf !== undefined) load.addTags(expectTags(call.tagsOf(loaded.value)))
    const isStored = !loaded.isSkipped && call.ttlMs > 0 && load.reads?.unknown === undefined
    const ttlMs = isStored ? lifetimeOf(loaded.value, profile, loaded.ttlMs, call.ttlMs) : 0
    const inspection = ttlMs === 0 ? undefined : this.#tryInspect(key, loaded.value)
    const isUnchanged = loaded.isSkipped && stale !== undefined && Object.is(loaded.value, stale.value)
    if (inspection === undefined && !isUnchanged) return this.dropOlder(load, key, lease)
    if (inspection === undefined || !this.#isLatest(load, key)) {
      if (lease !== undefined) await store?.release({ key, lease })
      return
    }
    const { sequence, startedAt } = load
    const { costMs } = loaded
    const about: NewEntry = { profile, ttlMs, staleMs, tags: [...load.tags], costMs, sequence, startedAt }
    const entry = memory.createEntry(loaded.value, inspection.bytes, about)
    memory.set(key, entry)
    if (lease === undefined || store === undefined) return
    const stored = await this.#tryEncode(key, loaded.value, inspection, about)
    if (stored === undefined) return store.release({ key, lease, dropsEntry: true })
    const { memoryStamp = Number.POSITIVE_INFINITY } = load.reads ?? {}
    const outcome = await timeWait(wait.cache, () => store.write({ key, entry: stored, lease, memoryStamp }))
    if (outcome === 'invalidated') memory.delete(key, entry)
    if (outcome === undefined) this.releaseLease(key, lease)
  }

  /** Drops the older value, because the load has shown that it is over and there is no other to store. Uses up the lease. */
  async dropOlder(load: SharedLoad, key: string, lease: Lease | undefined): Promise<void> {
    const { memory, store } = this.#dependencies
    const dropsEntry = this.#isLatest(load, key)
    if (dropsEntry) memory.delete(key)
    if (lease !== undefined) await store?.release({ key, lease, dropsEntry })
  }

  /** Stores a value as of now: see `Cache.set`. */
  async set(key: string, value: unknown, options?: EntryOptions): Promise<boolean> {
    const { settings, memory, log, store } = this.#dependencies
    const { profile, ttlMs: usualMs, staleMs, tags } = resolveEntry(settings, options)
    const ttlMs = lifetimeOf(value, profile, options?.ttl === undefined ? undefined : usualMs, usualMs)
    const inspection = ttlMs === 0 ? undefined : this.#tryInspect(key, value)
    const change = { tags: [], keys: [key], all: false }
    if (inspection === undefined) {
      await this.invalidate(change)
      return false
    }
    // Loads that are under way began before this value was set: they must not replace it.
    this.outdate(change)
    const start = memory.start()
    const about: NewEntry = { profile, ttlMs, staleMs, tags, costMs: 0, ...start }
    const entry = memory.createEntry(value, inspection.bytes, about)
    memory.set(key, entry)
    if (store === undefined) return true
    this.#unsent.set(key, entry)
    const stored = await this.#tryEncode(key, value, inspection, about)
    // While a large value was compressed, a later call has set or deleted the key.
    if (this.#unsent.get(key) !== entry) return true
    this.#unsent.delete(key)
    const isStored = stored !== undefined && (await store.set(key, stored))
    if (stored === undefined) await store.invalidate(change)
    // As in `invalidate`: reads that began in between may have put the value before in memory, where this one is not kept.
    if (memory.get(key) !== entry && log.isKeyCurrent(start.sequence, key)) this.outdate(change)
    return isStored
  }

  /** Makes entries outdated in this process at once, and then everywhere. */
  async invalidate(change: Change): Promise<Invalidation> {
    const { store, events } = this.#dependencies
    for (const key of change.all ? this.#unsent.keys() : change.keys) this.#unsent.delete(key)
    this.outdate(change)
    events.emit('invalidate', toEvent(change, 'local'))
    if (store === undefined) return { propagated: true, queued: false }
    const outcome = await store.invalidate(change)
    // Outdates once more: reads that began in between may have seen the store as it was before.
    this.outdate(change)
    return outcome
  }

  /** Makes entries outdated in this process only. */
  outdate(change: Change): void {
    this.#dependencies.memory.outdate(change)
    this.#dependencies.onOutdated(change)
  }

  /** Keeps renewing a lease, with the tags that its load has by then, until the returned function is called. */
  holdLease(key: string, lease: Lease, load: SharedLoad): () => void {
    const held = { key, lease, load }
    this.#held.add(held)
    this.#renewal ??= startInterval(() => this.#renewLeases(), leaseMs / 3)
    return () => this.#held.delete(held)
  }

  /** Gives the lease back, if there is one. */
  releaseLease(key: string, lease: Lease | undefined): void {
    if (lease !== undefined) void this.#dependencies.store?.release({ key, lease })
  }

  /** Whether no later load of the key has begun, and nothing that the value depends on was invalidated since this one began. */
  #isLatest({ isSuperseded, sequence, tags, reads }: SharedLoad, key: string): boolean {
    return !isSuperseded && reads?.isInvalidated !== true && this.#dependencies.log.isCurrent(sequence, key, tags)
  }

  #renewLeases(): void {
    if (this.#held.size === 0) {
      this.#renewal?.cancel()
      this.#renewal = undefined
    }
    for (const { key, lease, load } of this.#held) {
      void this.#dependencies.store?.renew({ key, lease, tags: [...load.tags] })
    }
  }

  /** `undefined` when the value cannot be stored. */
  #tryInspect(key: string, value: unknown): Inspection | undefined {
    const { settings, events } = this.#dependencies
    try {
      return inspectValue(value, settings.freeze)
    } catch (error) {
      events.emit('error', { operation: 'encode', error, key })
      return undefined
    }
  }

  /**
   * `undefined` when the value cannot be stored: JSON text of that length is impossible, or processes that read it would
   * lack the memory.
   */
  async #tryEncode(
    key: string,
    value: unknown,
    inspection: Inspection,
    about: NewEntry,
  ): Promise<StoredEntry | undefined> {
    const { settings, counters, events } = this.#dependencies
    const { profile, ttlMs, staleMs, costMs, tags } = about
    try {
      const { format, bytes } = encodeValue(value, inspection)
      if (!fitsWhenDecoded(format, bytes, settings.maxValueBytes)) {
        throw new RangeError(`a value of ${bytes.length} bytes would take more memory than \`memory.maxBytes\``)
      }
      const packed = await compress(bytes, profile.compress && settings.compression)
      counters.rawBytes += bytes.length
      counters.storedBytes += packed.bytes.length
      const header = {
        ttlMs,
        staleMs,
        costMs: Math.round(costMs),
        profile: profile.name,
        version: profile.version,
        format,
        codec: packed.codec,
        rawBytes: bytes.length,
        tags,
      }
      return { header, payload: packed.bytes }
    } catch (error) {
      events.emit('error', { operation: 'encode', error, key })
      return undefined
    }
  }
}

/**
 * How long a value lives; 0 when it is not stored.
 *
 * @param givenMs - the lifetime given for this one value
 * @param usualMs - the lifetime of its profile
 */
function lifetimeOf(value: unknown, profile: Profile, givenMs: number | undefined, usualMs: number): number {
  const isAbsent = value === null || value === undefined
  const ms = givenMs ?? (isAbsent ? profile.negativeTtlMs : undefined) ?? usualMs
  // Jitter only shortens: no value lives longer than was asked for.
  return ms * (1 - profile.jitter * Math.random())
}
