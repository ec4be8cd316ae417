import { isWorkers } from '../shared/platform/runtime.ts'
import { RecentMap } from '../shared/recent-map.ts'
import { wait } from '../shared/scope/wait-names.ts'
import { abandonmentIsEnabled, timeWait } from '../shared/scope/work.ts'
import type { CoarseTime } from '../shared/time/clock.ts'
import { startTimer } from '../shared/time/timers.ts'
import { withDeadline } from '../shared/time/waiting.ts'
import type { Call } from './call-options.ts'
import type { MissReason } from './counters.ts'
import type { Events } from './events.ts'
import { countHit } from './memory/fifo-cache.ts'
import type { Change, InvalidationLog } from './memory/invalidation-log.ts'
import { MemoryEntry, type MemoryTier } from './memory/memory-tier.ts'
import type { CacheSettings } from './options.ts'
import type { LoadNeeded, Reader } from './reader.ts'
import { type Answer, type Loaded, NoValueError, SharedLoad } from './shared-load.ts'
import { FairDeadline } from './store/limits.ts'
import type { Lease } from './store/store.ts'
import type { Writer } from './writer.ts'

/** After a refresh that failed, the stale value is served this long before the next try. */
const retryAfterMs = 1_000
const maxPaused = 10_000
const longestEndMs = 1_000

const noTagsMessage =
  "A value with `tags: 'auto'` was stored without tags, because its load began no query and used no cached value with tags: no write invalidates it. Name its tags, or begin its queries within the load"

interface EngineDependencies {
  readonly settings: CacheSettings
  readonly memory: MemoryTier
  readonly log: InvalidationLog
  readonly reader: Reader
  readonly writer: Writer
  readonly events: Events
  readonly time: CoarseTime
  readonly coherence: { readonly seenStamp: number }
  /** Of the cache: see `cacheIdentity`. */
  readonly identity: object
}

/** Decides which caller loads and which callers wait, so that one key has one load at a time. */
export class Engine {
  readonly #memory: MemoryTier
  readonly #log: InvalidationLog
  readonly #reader: Reader
  readonly #writer: Writer
  readonly #events: Events
  readonly #time: CoarseTime
  readonly #coherence: EngineDependencies['coherence']
  readonly #identity: object
  readonly #warn: CacheSettings['warn']
  readonly #loadSoftMs: number
  readonly #loadDeadline: FairDeadline
  readonly #loads = new Map<string, SharedLoad>()
  /** When a key whose refresh has failed may be loaded again. Not kept in the entries, because memory may not hold those. */
  readonly #retryAt = new RecentMap<number>(maxPaused)

  constructor({ settings, memory, log, reader, writer, events, time, coherence, identity }: EngineDependencies) {
    this.#memory = memory
    this.#log = log
    this.#reader = reader
    this.#writer = writer
    this.#events = events
    this.#time = time
    this.#coherence = coherence
    this.#identity = identity
    this.#warn = settings.warn
    this.#loadSoftMs = settings.loadSoftMs
    this.#loadDeadline = new FairDeadline(settings.loadHardMs)
  }

  /** The value for a call: from memory, from the store, or loaded. */
  async answer(call: Call): Promise<unknown> {
    const askedAt = this.#log.sequence
    call.signal?.throwIfAborted()
    if (call.owner?.isAbandoned) throw call.owner.reason
    try {
      const answer = await this.#ask(call)
      if (answer.sequence >= askedAt || this.#isUsable(answer, call.key)) return answer.value
    } catch (error) {
      // Nothing tells which tags the missing value would have had, so any invalidation since the load began counts.
      const isOutdated = error instanceof NoValueError && (!call.isPartOfMany || error.sequence < askedAt)
      if (!isOutdated) throw error
    }
    // The shared load began before this call, and one of its tags was invalidated in between. The next one begins now.
    return (await this.#ask(call)).value
  }

  /** Later callers of these keys begin a load of their own instead of joining an outdated one. */
  dropOutdated({ keys, all }: Change): void {
    for (const key of keys) this.#loads.delete(key)
    if (all) this.#loads.clear()
  }

  /** Aborts all loads and waits for their end, except on Workers, where they belong to other requests. */
  async close(reason: unknown): Promise<void> {
    const loads = isWorkers ? [] : [...this.#loads.values()]
    this.#loads.clear()
    for (const load of loads) load.abort(reason)
    // An aborted load ends at once, unless it waits for the store, or for a `validate` that never ends.
    await withDeadline(Promise.all(loads.map(({ ended }) => ended)), longestEndMs)
  }

  /** @param hasWaited - whether the caller has waited for another load to end: any load under way began after the call */
  #ask(call: Call, hasWaited = false): Answer | Promise<Answer> {
    const entry = call.isFresh || !this.#memory.mayServe(call.reads) ? undefined : this.#memory.get(call.key)
    if (entry === undefined || !this.#isServable(entry, call)) return this.#join(call, entry, hasWaited)
    call.reads?.addValue(this.#identity, entry.tags, this.#coherence.seenStamp)
    const now = this.#time.now()
    if (now < entry.freshUntil) {
      call.profile.counters.memory++
      if (isEarlyRefreshDue(entry, now) && !this.#isPaused(call.key)) this.#refresh(call, entry)
      return entry
    }
    if (entry.isInvalidated) call.reads?.addInvalidated()
    call.profile.counters.stale++
    countHit(entry)
    if (this.#isPaused(call.key)) return entry
    const running = this.#loads.get(call.key)
    const load = this.#refresh(call, entry)
    return load.stale === undefined ? entry : this.#waitFor(load, call, load === running)
  }

  /** Whether nothing that the answer depends on was invalidated since its load began. A stale entry may still be served. */
  #isUsable(answer: Answer, key: string): boolean {
    if (!(answer instanceof MemoryEntry)) {
      // A value with unknown dependencies may have changed at any time since its load began.
      return answer.reads?.unknown === undefined && this.#log.isCurrent(answer.sequence, key, answer.tags)
    }
    const isCurrent = this.#log.isKeyCurrent(answer.sequence, key) && this.#memory.isCurrent(answer)
    return isCurrent && this.#time.now() < answer.staleUntil
  }

  #isServable(entry: MemoryEntry, { tags }: Call): boolean {
    // First `isCurrent`: it may find that a tag has made the entry stale, and then changes `staleUntil`.
    return this.#memory.isCurrent(entry) && this.#time.now() < entry.staleUntil && entry.hasTags(tags)
  }

  #isPaused(key: string): boolean {
    return this.#time.exact() < (this.#retryAt.peek(key) ?? 0)
  }

  /** Waits for the load that is under way, or begins one. */
  #join(call: Call, unservable: MemoryEntry | undefined, hasWaited: boolean): Promise<Answer> {
    const running = this.#loads.get(call.key)
    if (running !== undefined && this.#isJoinable(running, call)) {
      running.addTags(call.tags)
      if (!this.#mayShare(running, call, hasWaited)) return this.#askAfter(running, call)
      call.profile.counters.coalesced++
      return timeWait(wait.cache, () => this.#waitFor(running, call, true))
    }
    return this.#waitFor(this.#begin(call, this.#missReason(unservable, call), running), call)
  }

  /** Whether a caller that comes now may have the answer of the load. */
  #mayShare({ startedAt, stale }: SharedLoad, call: Call, hasWaited: boolean): boolean {
    const isNewEnough = hasWaited || this.#memory.isVerifiedSince(startedAt)
    return isNewEnough && (stale === undefined || call.isFresh || this.#isServable(stale, call))
  }

  /** Asks again once the load has ended: the store then knows of invalidations that this process may have missed. */
  async #askAfter(running: SharedLoad, call: Call): Promise<Answer> {
    try {
      await timeWait(wait.cache, () => running.waitForEnd(call))
    } catch (error) {
      if (!running.wasStopped(error, call)) throw error
    }
    return this.#ask(call, true)
  }

  /**
   * @param isJoined - whether the load began before the call: its value may lack changes that this process has not heard of
   */
  #waitFor(load: SharedLoad, call: Call, isJoined = false): Promise<Answer> {
    const { reads } = call
    const waiting = load.wait(call)
    if (reads === undefined && !isJoined) return waiting
    const use = (answer: Answer) => {
      // The value may contain uncommitted changes of the transaction that loaded it: other callers load for themselves.
      if (isJoined && answer.reads?.isUncommitted) return this.#ask(call, true)
      if (reads === undefined) return answer
      const { memoryStamp = Number.POSITIVE_INFINITY } = answer.reads ?? {}
      const stamp = isJoined ? Math.min(this.#coherence.seenStamp, memoryStamp) : memoryStamp
      reads.addValue(this.#identity, answer.tags, stamp)
      if (answer.reads?.unknown !== undefined) reads.addUnknown(answer.reads.unknown)
      if (answer.isInvalidated) reads.addInvalidated()
      return answer
    }
    return waiting.then(use, (error) => {
      if (isJoined && load.wasStopped(error, call)) return this.#ask(call, true)
      throw error
    })
  }

  #isJoinable(load: SharedLoad, call: Call): boolean {
    // A request of Workers cannot wait for another's promise.
    if (isWorkers) return false
    if (load.isAborted || (call.isFresh && !load.isFresh)) return false
    return this.#log.isCurrent(load.sequence, call.key, load.tags) && this.#log.areTagsCurrent(load.sequence, call.tags)
  }

  /** Begins to renew an entry that is still served, unless a load is under way. */
  #refresh(call: Call, entry: MemoryEntry): SharedLoad {
    const running = this.#loads.get(call.key)
    if (running !== undefined && this.#isJoinable(running, call)) {
      if (running.stale === undefined) this.#offerStale(running, entry)
      return running
    }
    return this.#begin(call, 'expired', running, entry)
  }

  /** @param served - the entry that the load renews, if it is still served */
  #begin(call: Call, reason: MissReason, running: SharedLoad | undefined, served?: MemoryEntry): SharedLoad {
    if (running !== undefined) running.isSuperseded = true
    const load = new SharedLoad(call, served, this.#memory.start(), this.#identity)
    this.#loads.set(call.key, load)
    if (served !== undefined) this.#answerStale(load, served)
    load.ended = this.#run(load, call, reason)
    return load
  }

  /**
   * Answers with the stale value: at once, or after `timeouts.loadSoft` if the load takes longer. Callers that ask for a
   * fresh value wait for the load.
   */
  #answerStale(load: SharedLoad, entry: MemoryEntry): void {
    load.stale = entry
    if (this.#loadSoftMs === 0) {
      load.resolveUsual(entry)
      return
    }
    const timer = startTimer(() => load.resolveUsual(entry), this.#loadSoftMs)
    load.answer.finally(() => timer.cancel()).catch(() => {})
  }

  /** Answers the callers of a load that began without a stale value, if this one has all the tags that they name. */
  #offerStale(load: SharedLoad, entry: MemoryEntry): void {
    if (entry.hasTags([...load.tags])) this.#answerStale(load, entry)
  }

  async #run(load: SharedLoad, call: Call, reason: MissReason): Promise<void> {
    const { served } = load
    try {
      const found = this.#reader.hasStore
        ? await timeWait(wait.cache, () => this.#reader.readOrLease(load, call))
        : { reason }
      if ('entry' in found) return load.resolve(found.entry)
      if (found.stale !== undefined && !call.isFresh && this.#isPaused(call.key)) {
        if (served === undefined) call.profile.counters.stale++
        this.#writer.releaseLease(call.key, found.lease)
        return load.resolve(found.stale)
      }
      if (served === undefined) this.#countMiss(load, call, found)
      if (load.isAborted) {
        // Its callers have left, or the cache was closed, while the store was read.
        this.#writer.releaseLease(call.key, found.lease)
        load.throwIfAborted()
      }
      // With a lease, the load counts from the read that granted it. Without one it begins now.
      if (found.lease === undefined) load.restart(this.#memory.start())
      await this.#load(load, call, found.lease, served ?? found.stale)
    } catch (error) {
      const { stale } = load
      // A load that all callers have left has not failed, so the next caller need not wait before it tries again.
      if (stale === undefined || call.isFresh || load.isLeft || error instanceof NoValueError) return load.reject(error)
      this.#retryAt.set(call.key, this.#time.exact() + retryAfterMs)
      this.#events.emit('error', { operation: 'load', error, key: call.key })
      load.resolve(stale)
    } finally {
      if (this.#loads.get(call.key) === load) this.#loads.delete(call.key)
    }
  }

  /** Counts a miss, or a hit on a stale entry, which is then served. */
  #countMiss(load: SharedLoad, call: Call, { reason, stale }: LoadNeeded): void {
    if (stale === undefined || call.isFresh) {
      call.profile.counters.misses[reason]++
      if (stale !== undefined) this.#offerStale(load, stale)
      return
    }
    call.profile.counters.stale++
    this.#answerStale(load, stale)
  }

  async #load(load: SharedLoad, call: Call, lease: Lease | undefined, stale: MemoryEntry | undefined): Promise<void> {
    const { key, profile } = call
    const shown = stale && { value: stale.value, ageMs: this.#time.exact() - stale.loadedAt }
    const stopRenewing = lease && this.#writer.holdLease(key, lease, load)
    profile.counters.loads++
    try {
      const loaded = await load.run(call.load, shown, this.#loadDeadline)
      this.#warnOfTags(load, loaded)
      await this.#writer.storeLoaded(load, call, loaded, lease, shown)
      const { sequence, tags, reads } = load
      load.resolve({ value: loaded.value, sequence, tags, reads, isInvalidated: reads?.isInvalidated })
    } catch (error) {
      // Ends the rest of the load, such as the other queries of a `Promise.all`: nobody waits for it.
      if (abandonmentIsEnabled()) load.abort(error)
      if (error instanceof NoValueError) {
        await this.#writer.dropOlder(load, key, lease)
        throw new NoValueError(load.sequence)
      }
      // A load that was aborted because nobody waited any more has not failed.
      if (!load.isLeft) profile.counters.loadErrors++
      this.#writer.releaseLease(key, lease)
      throw error
    } finally {
      stopRenewing?.()
    }
  }

  #warnOfTags({ reads, tags }: SharedLoad, { isSkipped }: Loaded): void {
    if (reads === undefined) return
    if (reads.unknown === undefined) {
      if (tags.size === 1 && !isSkipped) this.#warn({ code: 'CACHE_TAGS_NONE', message: noTagsMessage })
      return
    }
    const message = `A value with \`tags: 'auto'\` was not stored, because ${reads.unknown}. Write the query with the builder, or name the tags`
    this.#warn({ code: 'CACHE_TAGS_UNKNOWN', message })
  }

  /** Why memory could not answer. Without a store, this is the reason of the miss. */
  #missReason(entry: MemoryEntry | undefined, call: Call): MissReason {
    if (call.isFresh) return 'bypassed'
    if (entry === undefined) return 'absent'
    return this.#memory.isCurrent(entry) && entry.hasTags(call.tags) ? 'expired' : 'invalidated'
  }
}

/** XFetch: an entry is the likelier to be renewed early, the nearer its end is and the longer its load took. */
function isEarlyRefreshDue({ refreshCheckAt, freshUntil, costMs }: MemoryEntry, now: number): boolean {
  return refreshCheckAt < freshUntil && now - costMs * Math.log(Math.random()) >= freshUntil
}
