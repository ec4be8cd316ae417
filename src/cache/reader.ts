import { automaticTag } from '../shared/scope/reads.ts'
import { wait } from '../shared/scope/wait-names.ts'
import { currentReads, timeWait } from '../shared/scope/work.ts'
import type { CoarseTime } from '../shared/time/clock.ts'
import { sleep } from '../shared/time/waiting.ts'
import { type Call, hasExactTags } from './call-options.ts'
import type { MissReason } from './counters.ts'
import { countHit } from './memory/fifo-cache.ts'
import type { InvalidationLog, Sequence, Start } from './memory/invalidation-log.ts'
import { MemoryEntry, type MemoryTier, type NewEntry } from './memory/memory-tier.ts'
import type { CacheSettings } from './options.ts'
import type { Profile } from './profile.ts'
import type { SharedLoad } from './shared-load.ts'
import type { EntryHeader, Lease, ReadMode, ReadResult, StoredEntry } from './store/store.ts'
import type { StoreTier } from './store/store-tier.ts'
import type { Explanation } from './types.ts'
import { decompress } from './value/compression.ts'
import { inspectValue } from './value/inspect-value.ts'
import { isValid } from './value/validation.ts'
import { decodeValue, fitsWhenDecoded, type ValueFormat } from './value/value-codec.ts'

/** How a read for `getOrSet` ends: with an entry, or with the need to load. */
type EntryOrLease = { readonly entry: MemoryEntry } | LoadNeeded

export interface LoadNeeded {
  readonly reason: MissReason
  /** The right to store the loaded value. Without it the value stays in this process. */
  readonly lease?: Lease | undefined
  /** Served while the load runs, and passed to `load` as `ctx.stale`. */
  readonly stale?: MemoryEntry | undefined
}

interface ReaderDependencies {
  readonly settings: CacheSettings
  readonly memory: MemoryTier
  readonly log: InvalidationLog
  readonly store: StoreTier | undefined
  readonly time: CoarseTime
}

const pollFromMs = 10
const pollUpToMs = 250

/** Reads entries from the store, decodes them, and stores them in memory. */
export class Reader {
  readonly #settings: CacheSettings
  readonly #memory: MemoryTier
  readonly #store: StoreTier | undefined
  readonly #time: CoarseTime
  readonly #likelyHits: LikelyHits

  constructor({ settings, memory, log, store, time }: ReaderDependencies) {
    this.#settings = settings
    this.#memory = memory
    this.#store = store
    this.#time = time
    this.#likelyHits = new LikelyHits(log)
  }

  get hasStore(): boolean {
    return this.#store !== undefined
  }

  /**
   * Reads a key from the store until there is an entry or a lease. While another process holds the lease, it reads again at
   * growing intervals, so the holder need not announce that it is done, and a load costs two round trips.
   */
  async readOrLease(load: SharedLoad, call: Call): Promise<EntryOrLease> {
    const { served } = load
    const store = this.#store as StoreTier
    const forceAt = this.#time.exact() + this.#settings.loadHardMs
    let mode = this.#firstMode(load, call)
    for (let waitMs = pollFromMs; ; waitMs = Math.min(waitMs * 1.5, pollUpToMs)) {
      if (store.isConnecting) await store.connected()
      load.throwIfAborted()
      load.restart(this.#memory.start())
      const result = await store.read(call.key, mode, call.tags)
      if (result === undefined) return { reason: 'unavailable' }
      this.#likelyHits.learn(call, result, load)

      const revived = this.#revive(result, load, discarding(store, call.key), call.profile)
      const entry = revived instanceof Promise ? await revived : revived
      if (entry instanceof MemoryEntry && this.#isHit(entry, result, call, served)) return { entry }
      const stale = entry instanceof MemoryEntry ? entry : undefined
      const reason = call.isFresh ? 'bypassed' : typeof entry === 'string' ? entry : 'expired'
      if (result.lease !== undefined || (mode === 'get' && stale === undefined) || result.isReadOnly)
        return { reason, lease: result.lease, stale }
      if (mode === 'get') {
        // This call will store nothing, but its load must drop the stale entry. For that it needs a lease: read again to get
        // one.
        mode = 'load'
        continue
      }
      // Another process renews the entry, and this one has a value to serve meanwhile.
      if (served !== undefined) return { entry: served }
      if (stale !== undefined && !call.isFresh) {
        call.profile.counters.stale++
        return { entry: stale }
      }

      if (mode === 'likely-hit') mode = 'load'
      if (result.state === 'fresh' && mode === 'load') {
        // The fresh entry cannot be used, for example because of its version. Ask for the right to replace it, without
        // waiting.
        mode = 'refresh'
        continue
      }
      if (this.#time.exact() > forceAt) mode = 'force'
      await sleep(waitMs, { keepsAlive: false })
    }
  }

  /** Stores an entry from the store in memory, and returns whether it answers the call. */
  #isHit(entry: MemoryEntry, { state, lease }: ReadResult, call: Call, served: MemoryEntry | undefined): boolean {
    this.#memory.setIfNewest(call.key, entry)
    const isNew = served === undefined || entry.loadedAt > served.loadedAt + 1
    if (state !== 'fresh' || call.isFresh || !isNew) return false
    if (lease !== undefined) void this.#store?.release({ key: call.key, lease })
    if (served === undefined) call.profile.counters.store++
    return true
  }

  /** The fresh entry of each key, from memory or with one round trip for all. Counts one request for each key. */
  readFresh(keys: readonly string[]): Promise<(MemoryEntry | undefined)[]> {
    const usesMemory = this.#memory.mayServe(currentReads())
    return Promise.all(
      keys.map((key) => {
        const entry = usesMemory ? this.#memory.get(key) : undefined
        if (entry === undefined) return this.#readFreshFromStore(key, 'absent')
        // First `isCurrent`: it may find that a tag has made the entry stale, and then changes `freshUntil`.
        if (!this.#memory.isCurrent(entry)) return this.#readFreshFromStore(key, 'invalidated')
        if (this.#time.now() >= entry.freshUntil) return this.#readFreshFromStore(key, 'expired')
        entry.profile.counters.memory++
        countHit(entry)
        return entry
      }),
    )
  }

  /** See `Cache.explain`. */
  async explain(key: string): Promise<Explanation> {
    const entry = this.#memory.get(key)
    const now = this.#time.exact()
    const isCurrent = entry !== undefined && this.#memory.isCurrent(entry)
    if (entry !== undefined && isCurrent && now < entry.staleUntil) {
      const { loadedAt, freshUntil, bytes, tags } = entry
      return { key, tier: 'memory', ageMs: now - loadedAt, freshForMs: freshUntil - now, bytes, tags: shownTags(tags) }
    }
    if (this.#store === undefined) {
      return { key, tier: 'none', reason: entry === undefined ? 'absent' : isCurrent ? 'expired' : 'invalidated' }
    }
    const result = await this.#store.read(key, 'get', [])
    const revived = result === undefined ? 'unavailable' : await this.#revive(result, this.#memory.start(), corrupt)
    if (!(revived instanceof MemoryEntry)) return { key, tier: 'none', reason: revived }
    const { ageMs, entry: stored } = result as ReadResult
    const { header, payload } = stored as StoredEntry
    const freshForMs = header.ttlMs - (ageMs ?? 0)
    return {
      key,
      tier: 'store',
      ageMs,
      freshForMs,
      bytes: payload.length,
      codec: header.codec,
      tags: shownTags(header.tags),
    }
  }

  /** @param reason - counted when there is no store */
  async #readFreshFromStore(key: string, reason: MissReason): Promise<MemoryEntry | undefined> {
    const { counters } = this.#settings.profiles.get('default') as Profile
    const store = this.#store
    if (store === undefined) {
      counters.misses[reason]++
      return undefined
    }
    if (store.isConnecting) await store.connected()
    const start = this.#memory.start()
    const result = await timeWait(wait.cache, () => store.read(key, 'get', []))
    const entry = result === undefined ? 'unavailable' : await this.#revive(result, start, discarding(store, key))
    if (!(entry instanceof MemoryEntry) || result?.state !== 'fresh') {
      counters.misses[entry instanceof MemoryEntry ? 'expired' : entry]++
      return undefined
    }
    this.#memory.setIfNewest(key, entry)
    entry.profile.counters.store++
    return entry
  }

  #firstMode(load: SharedLoad, call: Call): ReadMode {
    if (call.isFresh) return 'force'
    if (load.served !== undefined) return 'refresh'
    if (call.ttlMs === 0) return 'get'
    return this.#likelyHits.has(call, this.#time.exact()) ? 'likely-hit' : 'load'
  }

  /**
   * Makes an entry from what the store answered, or returns the reason of the miss.
   *
   * @returns a promise only where one is needed, because most results need none
   */
  #revive(
    result: ReadResult,
    start: Start,
    onCorrupt: (error: unknown) => Promise<'corrupt'>,
    profile?: Profile,
  ): MemoryEntry | MissReason | Promise<MemoryEntry | MissReason> {
    if (result.state === 'corrupt') return onCorrupt(new TypeError('an entry has a foreign beginning'))
    if (result.entry === undefined) return result.state as MissReason
    try {
      const revived = this.#decode(result, result.entry, start, profile)
      return revived instanceof Promise ? revived.catch(onCorrupt) : revived
    } catch (error) {
      return onCorrupt(error)
    }
  }

  /** @throws when the entry cannot be read */
  #decode(
    { ageMs, isInvalidated }: ReadResult,
    { header, payload }: StoredEntry,
    { sequence, startedAt }: Start,
    wanted: Profile | undefined,
  ): MemoryEntry | MissReason | Promise<MemoryEntry | MissReason> {
    const { profiles } = this.#settings
    const profile = wanted ?? profiles.get(header.profile) ?? (profiles.get('default') as Profile)
    if (profile.version !== header.version && (wanted !== undefined || profiles.has(header.profile))) return 'version'
    const { ttlMs, staleMs, costMs, tags } = header
    const about: NewEntry = { profile, ttlMs, staleMs, costMs, tags, sequence, startedAt, isInvalidated }
    if (header.codec !== 'none' || profile.validate !== undefined) return this.#unpack(payload, header, about, ageMs)
    return this.#createEntry(payload, header, about, ageMs)
  }

  async #unpack(
    payload: Buffer,
    header: EntryHeader,
    about: NewEntry,
    ageMs: number | undefined,
  ): Promise<MemoryEntry | MissReason> {
    const { codec, rawBytes } = header
    const raw = codec === 'none' ? payload : await decompress(payload, codec, rawBytes, this.#settings.maxValueBytes)
    const entry = this.#createEntry(raw, header, about, ageMs)
    const { validate } = about.profile
    return validate === undefined || (await isValid(entry.value, validate)) ? entry : 'corrupt'
  }

  #createEntry(raw: Buffer, { format }: EntryHeader, about: NewEntry, ageMs: number | undefined): MemoryEntry {
    if (!fitsWhenDecoded(format as ValueFormat, raw, this.#settings.maxValueBytes)) {
      throw new RangeError('an entry would take more memory than `memory.maxBytes`')
    }
    const value = decodeValue(format as ValueFormat, raw)
    // Without memory the size is not used, and freezing is not needed, because no second caller gets the value.
    const bytes = this.#memory.isEnabled ? inspectValue(value, this.#settings.freeze, true).bytes : 0
    return this.#memory.createEntry(value, bytes, about, ageMs)
  }
}

const maxLikelyHits = 5_000
/** An optimistic read that fails costs another round trip: over a network as much time as 20 to 40 successful ones save. */
const likelyShare = 0.98
/** The share is an average of about this many first reads. */
const averagedReads = 32

/**
 * Guesses which entries are fresh in the store: those that were fresh when they were last read. As long as nearly every first
 * read is a hit, it expects the same of entries that have not been read yet.
 */
class LikelyHits {
  readonly #log: InvalidationLog
  readonly #byKey = new Map<string, { sequence: Sequence; freshUntil: number; header: EntryHeader }>()
  /** The share of the latest first reads that were hits. */
  #share = 0

  constructor(log: InvalidationLog) {
    this.#log = log
  }

  learn({ key, tags }: Call, { state, entry, ageMs = 0 }: ReadResult, { sequence, startedAt }: Start): void {
    const isFresh = state === 'fresh' && entry !== undefined
    if (!this.#byKey.has(key)) {
      const isHit = isFresh && hasExactTags(entry.header, tags)
      this.#share += (Number(isHit) - this.#share) / averagedReads
    }
    if (!isFresh) {
      this.#byKey.delete(key)
      return
    }
    if (this.#byKey.size >= maxLikelyHits) this.#byKey.clear()
    const { header } = entry
    this.#byKey.set(key, { sequence, freshUntil: startedAt - ageMs + header.ttlMs, header })
  }

  /** Whether the store is likely to hold a fresh entry with exactly the tags of the call. */
  has({ key, tags }: Call, now: number): boolean {
    const known = this.#byKey.get(key)
    if (known === undefined) return this.#share > likelyShare
    const { sequence, freshUntil, header } = known
    return now < freshUntil && hasExactTags(header, tags) && this.#log.isCurrent(sequence, key, tags)
  }
}

async function corrupt(): Promise<'corrupt'> {
  return 'corrupt'
}

/** Removes an entry that cannot be read, and counts it. */
function discarding(store: StoreTier, key: string): (error: unknown) => Promise<'corrupt'> {
  return (error) => store.discard(key, error).then(corrupt)
}

function shownTags(tags: readonly string[]): string[] {
  return tags.filter((tag) => tag !== automaticTag)
}
