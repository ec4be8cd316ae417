import { Breaker } from './breaker.ts'
import type { Change } from './coherence.ts'
import type { StoreCounters, StoreErrorKind } from './counters.ts'
import type { CacheErrorEvent, Events, StoreState } from './events.ts'
import { FairDeadline } from './fair-deadline.ts'
import type { CacheSettings } from './options.ts'
import { PendingChanges } from './pending-changes.ts'
import { ReadBatch } from './read-batch.ts'
import { RecentChanges } from './recent-changes.ts'
import type { Found, ReadMode, Store, StoredEntry, StoreListener, Ticket, WriteOutcome } from './store.ts'
import type { Invalidation } from './types.ts'

type Operation = CacheErrorEvent['operation']

/**
 * A store that cannot fail or hang its caller: every operation has a deadline, every failure is counted and becomes
 * `undefined`, and while the store is down it is not asked. Changes that it missed are sent before it is asked again.
 */
export class StoreTier {
  readonly #store: Store
  readonly #counters: StoreCounters
  readonly #events: Events
  readonly #deadline: FairDeadline
  readonly #breaker: Breaker
  readonly #pending = new PendingChanges()
  readonly #recent = new RecentChanges()
  /** Whether another server may have taken the place of the one that was told of the recent changes. */
  #mayBeAnother = false
  readonly #batches: Readonly<Record<ReadMode, ReadBatch>>
  #roundTripMs = 0
  #state: StoreState = 'up'
  #preparing: Promise<void> | undefined
  /** Settles once the first connection is made or has failed; afterwards there is nothing to wait for. */
  #connecting: Promise<void> | undefined
  /** Whether the store answers again, and is being told what it missed. */
  #isCatchingUp = false
  #fatal: unknown
  readonly #firstLoss = Promise.withResolvers<never>()
  readonly #listener: StoreListener = {
    troubled: (error) => this.#events.emit('error', { operation: 'connection', error }),
    lost: (error) => {
      this.#firstLoss.reject(error)
      this.#lost(error)
    },
    ready: () => void this.#breaker.probeNow(),
  }

  constructor(store: Store, settings: CacheSettings, counters: StoreCounters, events: Events) {
    this.#store = store
    this.#counters = counters
    this.#events = events
    this.#deadline = new FairDeadline(settings.storeTimeoutMs)
    const probe = () => this.#probe()
    this.#breaker = new Breaker({ ...settings.breaker, probe, onChange: () => this.#updateState() })
    const batch = (mode: ReadMode) => new ReadBatch((keys) => this.read(keys, mode, []))
    this.#batches = {
      get: batch('get'),
      load: batch('load'),
      expected: batch('expected'),
      refresh: batch('refresh'),
      force: batch('force'),
    }
    this.#firstLoss.promise.catch(ignore)
    this.#preparing = store.prepare().finally(() => {
      this.#preparing = undefined
    })
    this.#connecting = this.#preparing.then(() => this.#connect())
    this.#connecting.catch((error: unknown) => {
      if (isMissingPeer(error)) this.#fatal = error
      this.#connecting = undefined
    })
  }

  get state(): StoreState {
    if (this.#breaker.isOpen) return 'down'
    return this.#breaker.isWorried || !(this.#connecting !== undefined || this.#store.isListening()) ? 'degraded' : 'up'
  }

  get roundTripMs(): number {
    return this.#roundTripMs
  }

  get pendingChanges(): number {
    return this.#pending.size
  }

  /** Whether the store would be asked. */
  get isAvailable(): boolean {
    return !this.#breaker.isOpen
  }

  get isConnecting(): boolean {
    return this.#connecting !== undefined
  }

  /** Waits for the first connection, at most as long as for any answer. */
  async connected(): Promise<void> {
    await this.#attempt('connection', () => Promise.resolve())
  }

  /** What each key holds; `undefined` when the store cannot say. */
  read(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<Found[] | undefined> {
    const ask = () => this.#store.read(keys, mode, tags)
    // Whoever has stopped waiting will not load: others must not wait for it.
    return this.#attempt('read', ask, (found) => this.#releaseAll(keys, found))
  }

  /** The same of one key. Reads without tags that are asked for at the same time are one round trip. */
  readOne(key: string, mode: ReadMode, tags: readonly string[]): Promise<Found | undefined> {
    return tags.length === 0 ? this.#batches[mode].read(key) : this.read([key], mode, tags).then((found) => found?.[0])
  }

  write(key: string, entry: StoredEntry, ticket: Ticket): Promise<WriteOutcome | undefined> {
    return this.#attempt('write', () => this.#store.write(key, entry, ticket))
  }

  /** Whether the value was stored; if not, the older one counts as outdated. */
  async set(key: string, entry: StoredEntry): Promise<boolean> {
    const isStored = await this.#tryChange('write', () => this.#store.set(key, entry))
    this.#settle({ tags: [], keys: [key], all: false }, isStored)
    return isStored
  }

  /** Sends a change, or keeps it until the store is back. */
  async change(change: Change): Promise<Invalidation> {
    const isSent = await this.#tryChange('invalidate', () => this.#send(change))
    this.#settle(change, isSent)
    return { propagated: isSent, queued: !isSent }
  }

  /** Best effort; a ticket expires by itself. */
  async release(key: string, ticket: Ticket): Promise<void> {
    if (this.isAvailable) await this.#attempt('write', () => this.#store.release(key, ticket))
  }

  async renew(key: string, ticket: Ticket): Promise<void> {
    if (this.isAvailable) await this.#attempt('write', () => this.#store.renew(key, ticket))
  }

  /** Removes what cannot be read, and counts it. */
  async discard(key: string, error: unknown): Promise<void> {
    this.#counters.errors.decode++
    this.#events.emit('error', { operation: 'decode', error, key })
    await this.#attempt('write', () => this.#store.discard(key))
  }

  /** Asks the store for its clock, so that memory stays verified. */
  async ping(): Promise<void> {
    if (this.isAvailable) await this.#attempt('read', () => this.#store.ping())
  }

  async close(): Promise<void> {
    this.#breaker.stop()
    await this.#store.close()
  }

  #attempt<Answer>(
    operation: Operation,
    work: () => Promise<Answer>,
    tooLate?: (answer: Answer) => void,
  ): Promise<Answer | undefined> {
    if (this.#fatal !== undefined) return Promise.reject(this.#fatal)
    if (!this.#breaker.isOpen) return this.#ask(operation, work, tooLate)
    this.#counters.errors.refused++
    return Promise.resolve(undefined)
  }

  /** Whether the store took a change. */
  async #tryChange(operation: Operation, work: () => Promise<void>): Promise<boolean> {
    const done = async () => {
      await work()
      return true
    }
    // While the store catches up, new changes must not queue behind old ones: the queue might never end.
    const answer = await (this.#isCatchingUp ? this.#ask(operation, done) : this.#attempt(operation, done))
    return answer === true
  }

  async #ask<Answer>(
    operation: Operation,
    work: () => Promise<Answer>,
    tooLate?: (answer: Answer) => void,
  ): Promise<Answer | undefined> {
    // Loading a package takes time, and says nothing about the store.
    if (this.#preparing !== undefined) await this.#preparing.catch(ignore)
    const sentAt = performance.now()
    try {
      const connecting = this.#connecting
      const asked = connecting === undefined ? work() : connecting.then(work)
      const answer = await this.#deadline.race(asked, lateError, tooLate)
      this.#breaker.succeeded()
      const took = performance.now() - sentAt
      this.#roundTripMs = this.#roundTripMs === 0 ? took : 0.9 * this.#roundTripMs + 0.1 * took
      this.#updateState()
      return answer
    } catch (error) {
      if (this.#fatal !== undefined) throw this.#fatal
      this.#failed(operation, error)
      return undefined
    }
  }

  #failed(operation: Operation, error: unknown): void {
    const kind = kindOf(error, operation)
    this.#counters.errors[kind]++
    if (kind === 'timeout') this.#breaker.timedOut()
    if (kind === 'connection') this.#disconnected()
    this.#updateState()
    this.#events.emit('error', { operation, error })
  }

  #settle(change: Change, isSent: boolean): void {
    if (isSent) {
      this.#recent.add(change)
      return
    }
    // A store that has missed a change must not be read until it has caught up.
    this.#pending.add(change)
    this.#breaker.open()
  }

  async #send(change: Change): Promise<void> {
    if (change.all) return this.#store.clear()
    if (change.tags.length > 0) await this.#store.invalidate(change.tags)
    if (change.keys.length > 0) await this.#store.delete(change.keys)
  }

  async #probe(): Promise<boolean> {
    try {
      await this.#deadline.race(this.#store.ping(), lateError)
      this.#isCatchingUp = true
      if (this.#mayBeAnother) this.#pending.add(this.#recent.get())
      this.#mayBeAnother = false
      while (this.#pending.size > 0) await this.#flush()
      return true
    } catch (error) {
      if (!isAnswer(error)) this.#reconnect()
      return false
    } finally {
      this.#isCatchingUp = false
    }
  }

  /** The new connection, if one is made, tells by itself when it is ready. */
  #reconnect(): void {
    this.#mayBeAnother = true
    this.#store.reconnect(this.#listener).catch(ignore)
  }

  async #flush(): Promise<void> {
    const change = this.#pending.take()
    try {
      await this.#deadline.race(this.#send(change), lateError)
      this.#recent.add(change)
    } catch (error) {
      this.#pending.add(change)
      throw error
    }
  }

  async #connect(): Promise<void> {
    const connected = this.#store.connect(this.#listener)
    connected.then(
      () => this.#breaker.probeNow(),
      (error: unknown) => this.#lost(error),
    )
    try {
      await Promise.race([connected, this.#firstLoss.promise])
    } finally {
      this.#connecting = undefined
    }
  }

  #lost(error: unknown): void {
    if (!this.#breaker.isOpen) this.#counters.errors.connection++
    this.#disconnected()
    this.#events.emit('error', { operation: 'connection', error })
  }

  #disconnected(): void {
    this.#mayBeAnother = true
    this.#breaker.open()
  }

  async #releaseAll(keys: readonly string[], answers: readonly Found[]): Promise<void> {
    for (const [index, { ticket }] of answers.entries()) {
      // Past the breaker: the answer has just shown that the store listens.
      if (ticket !== undefined) await this.#store.release(keys[index] as string, ticket).catch(ignore)
    }
  }

  #updateState(): void {
    const state = this.state
    if (state === this.#state) return
    this.#state = state
    this.#events.emit('state', { state })
  }
}

/** The store did not answer in time. */
class StoreTimeoutError extends Error {
  override readonly name = 'StoreTimeoutError'
}

function lateError(): StoreTimeoutError {
  return new StoreTimeoutError('the store did not answer within `timeouts.store`')
}

/** Errors that Redis answers with begin with a code; these codes say that the server, not the request, is what is wrong. */
const unavailable = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOAUTH|WRONGPASS|NOREPLICAS|BUSY|UNKILLABLE)\b/

function kindOf(error: unknown, operation: Operation): StoreErrorKind {
  if (error instanceof StoreTimeoutError) return 'timeout'
  if (!isAnswer(error) || unavailable.test((error as Error).message)) return 'connection'
  return operation === 'read' || operation === 'decode' ? 'decode' : 'write'
}

function isAnswer(error: unknown): boolean {
  return error instanceof Error && /^[A-Z][A-Z0-9]+ /.test(error.message)
}

function isMissingPeer(error: unknown): boolean {
  return (error as { readonly code?: unknown } | null)?.code === 'ERR_PEER_MISSING'
}

function ignore(): void {}
