import { type Call, NoValueError, type Parts } from './call.ts'
import type { CoarseTime } from './coarse-time.ts'
import type { Change } from './coherence.ts'
import type { MissReason } from './counters.ts'
import { type Answer, Flight } from './flight.ts'
import type { Invalidations } from './invalidations.ts'
import { keepLoaded } from './keep.ts'
import type { MemoryEntry } from './memory-tier.ts'
import { runLoad } from './run-load.ts'
import { type Search, searchStore } from './search.ts'
import { type Ticket, ticketMs } from './store.ts'
import type { Invalidation } from './types.ts'

/** After a refresh that failed, the stale value is served this long before the next try. */
const retryAfterMs = 1_000

/** Finds values, loads what is missing, and keeps what was loaded, in the order that the promise needs. */
export class Engine {
  readonly parts: Parts
  readonly #flights = new Map<string, Flight>()

  readonly #time: CoarseTime
  readonly #order: Invalidations
  readonly #coherence: Parts['coherence']

  constructor(parts: Parts) {
    this.parts = parts
    this.#time = parts.time
    this.#order = parts.order
    this.#coherence = parts.coherence
  }

  /** Whether a hit in memory needs no further thought. The hot path: two comparisons for an entry that was checked before. */
  isPlain(entry: MemoryEntry): boolean {
    if (entry.checked !== this.#order.tick && !this.#areTagsCurrent(entry)) return false
    return this.#time.sinceStart() < entry.sureUntil || this.#isCovered(entry)
  }

  /** Whether nothing that this process knows, or should have heard by now, speaks against the entry. */
  isCurrent(entry: MemoryEntry): boolean {
    const now = this.#time.now()
    if (now >= entry.trustedUntil && !this.#coherence.covers(now)) return false
    return entry.checked === this.#order.tick || this.#areTagsCurrent(entry)
  }

  #isCovered(entry: MemoryEntry): boolean {
    const now = this.#time.now()
    return now < entry.plainUntil && (now < entry.trustedUntil || this.#coherence.covers(now))
  }

  #areTagsCurrent(entry: MemoryEntry): boolean {
    if (!this.#order.areTagsCurrent(entry.begun, entry.tags)) return false
    entry.checked = this.#order.tick
    return true
  }

  /** The value for a call: from memory, from the store, or loaded. */
  async answer(call: Call): Promise<unknown> {
    const { order } = this.parts
    const asked = order.tick
    call.signal?.throwIfAborted()
    try {
      const answer = await this.#ask(call)
      if (answer.begun >= asked || order.isCurrent(answer.begun, call.key, answer.tags)) return answer.value
    } catch (error) {
      if (!(error instanceof NoValueError) || call.isPartOfMany) throw error
    }
    // A load that began before this caller asked is no answer to it if something of it had been invalidated in between,
    // as with tags that a load names at its end. What is found now began later.
    return (await this.#ask(call)).value
  }

  /** Outdates something here at once, and then everywhere. */
  async change(change: Change): Promise<Invalidation> {
    this.outdate(change)
    this.parts.events.emit('invalidate', { ...change, origin: 'local' })
    if (this.parts.store === undefined) return { propagated: true, queued: false }
    const outcome = await this.parts.store.change(change)
    // Once more: what began in between may have read what the store held before.
    this.outdate(change)
    return outcome
  }

  /** Outdates something in this process. */
  outdate({ tags, keys, all }: Change): void {
    const { order, memory } = this.parts
    if (tags.length > 0) order.addTags(tags)
    if (keys.length > 0) order.addKeys(keys)
    for (const key of keys) {
      memory.delete(key)
      this.#flights.delete(key)
    }
    if (!all) return
    order.addAll()
    memory.clear()
    this.#flights.clear()
  }

  close(reason: unknown): void {
    for (const flight of this.#flights.values()) flight.controller.abort(reason)
    this.#flights.clear()
    this.parts.memory.clear()
  }

  #ask(call: Call): Answer | Promise<Answer> {
    const { memory, time } = this.parts
    const entry = call.isFresh ? undefined : memory.get(call.key)
    if (entry === undefined || !this.#isServable(entry, call)) return this.#join(call, entry)
    const now = time.now()
    if (now < entry.freshUntil) {
      call.profile.counters.memory++
      if (isEarly(entry, now)) this.#refresh(call, entry)
      return entry
    }
    call.profile.counters.stale++
    if (now < entry.retryAt) return entry
    return this.#refresh(call, entry).wait(call.signal)
  }

  #isServable(entry: MemoryEntry, { tags }: Call): boolean {
    return this.parts.time.now() < entry.staleUntil && this.isCurrent(entry) && carries(entry.tags, tags)
  }

  /** Shares the search that is under way, or begins one. */
  #join(call: Call, outdated: MemoryEntry | undefined): Promise<Answer> {
    const running = this.#flights.get(call.key)
    if (running !== undefined && this.#isJoinable(running, call)) {
      call.profile.counters.coalesced++
      for (const tag of call.tags) running.tags.add(tag)
      return running.wait(call.signal)
    }
    const flight = this.#begin(call, { isFresh: call.isFresh, isRefresh: false }, running)
    void this.#run(
      flight,
      call,
      reasonOf(outdated, call, (entry) => this.isCurrent(entry)),
    )
    return flight.wait(call.signal)
  }

  #isJoinable(flight: Flight, call: Call): boolean {
    if (flight.isAborted || (call.isFresh && !flight.isFresh)) return false
    const { order } = this.parts
    return order.isCurrent(flight.begun, call.key, flight.tags) && order.areTagsCurrent(flight.begun, call.tags)
  }

  /** Renews an entry that is still served. */
  #refresh(call: Call, entry: MemoryEntry): Flight {
    const running = this.#flights.get(call.key)
    if (running !== undefined && this.#isJoinable(running, call)) return running
    const flight = this.#begin(call, { isFresh: false, isRefresh: true }, running)
    this.#answerStale(flight, entry)
    void this.#run(flight, call, 'expired', entry)
    return flight
  }

  #begin(call: Call, kind: { isFresh: boolean; isRefresh: boolean }, running: Flight | undefined): Flight {
    const { order, time } = this.parts
    if (running !== undefined) running.isSuperseded = true
    const flight = new Flight(kind, call.tags, order.tick, time.exact())
    this.#flights.set(call.key, flight)
    return flight
  }

  /** Lets a flight answer with the stale value, now or when the load turns out to take long. */
  #answerStale(flight: Flight, entry: MemoryEntry): void {
    const { loadSoftMs } = this.parts.settings
    if (loadSoftMs === 0) {
      flight.resolve(entry)
      return
    }
    const timer = setTimeout(() => flight.resolve(entry), loadSoftMs).unref()
    flight.answer.finally(() => clearTimeout(timer)).catch(() => {})
  }

  async #run(flight: Flight, call: Call, reason: MissReason, served?: MemoryEntry): Promise<void> {
    let stale = served
    try {
      const { store } = this.parts
      const found = store === undefined ? { reason } : await searchStore(this.parts, store, flight, call, served)
      if ('entry' in found) return flight.resolve(found.entry)
      if (served === undefined) this.#count(flight, call, found)
      if (found.ticket === undefined) this.#beginAnew(flight)
      stale ??= found.stale
      await this.#load(flight, call, found.ticket, stale)
    } catch (error) {
      if (stale === undefined || call.isFresh) return flight.reject(error)
      stale.retryAt = this.parts.time.exact() + retryAfterMs
      this.parts.events.emit('error', { operation: 'load', error, key: call.key })
      flight.resolve(stale)
    } finally {
      if (this.#flights.get(call.key) === flight) this.#flights.delete(call.key)
    }
  }

  /** A load that nothing was read for begins now. */
  #beginAnew(flight: Flight): void {
    flight.begun = this.parts.order.tick
    flight.begunAt = this.parts.time.exact()
  }

  #count(flight: Flight, call: Call, { reason, stale }: Exclude<Search, { entry: MemoryEntry }>): void {
    if (stale === undefined || call.isFresh) {
      call.profile.counters.misses[reason]++
      return
    }
    call.profile.counters.stale++
    this.#answerStale(flight, stale)
  }

  async #load(flight: Flight, call: Call, ticket: Ticket | undefined, stale: MemoryEntry | undefined): Promise<void> {
    const { store, time, loadDeadline } = this.parts
    const { key, profile } = call
    const old = stale && { value: stale.value, ageMs: time.exact() - stale.loadedAt }
    const renewal = ticket && setInterval(() => void store?.renew(key, ticket), ticketMs / 3).unref()
    profile.counters.loads++
    try {
      const loaded = await runLoad(call.load, flight.tags, old, flight.controller, loadDeadline)
      await keepLoaded(this.parts, flight, call, loaded, ticket)
      flight.resolve({ value: loaded.value, begun: flight.begun, tags: flight.tags })
    } catch (error) {
      if (!(error instanceof NoValueError)) profile.counters.loadErrors++
      if (ticket !== undefined) void store?.release(key, ticket)
      throw error
    } finally {
      clearInterval(renewal)
    }
  }
}

/** XFetch: the closer to its end and the costlier its load, the likelier an entry is renewed before it ends. */
function isEarly({ plainUntil, freshUntil, costMs }: MemoryEntry, now: number): boolean {
  return plainUntil < freshUntil && now - costMs * Math.log(Math.random()) >= freshUntil
}

/** Why what memory holds could not answer; without a store, why the call is a miss. */
function reasonOf(entry: MemoryEntry | undefined, call: Call, isCurrent: (entry: MemoryEntry) => boolean): MissReason {
  if (call.isFresh) return 'bypassed'
  if (entry === undefined) return 'absent'
  return isCurrent(entry) && carries(entry.tags, call.tags) ? 'expired' : 'invalidated'
}

/** Whether an entry was stored with all the tags that a caller names. */
export function carries(tags: readonly string[], named: readonly string[]): boolean {
  for (let index = 0; index < named.length; index++) {
    const tag = named[index] as string
    if (tags[index] !== tag && !tags.includes(tag)) return false
  }
  return true
}
