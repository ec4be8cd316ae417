import { withDeadline } from '../../shared/time/waiting.ts'
import type { StoreCounters } from '../counters.ts'
import type { Events, StoreOperation, StoreState } from '../events.ts'
import type { Change } from '../memory/invalidation-log.ts'
import type { CacheSettings } from '../options.ts'
import type { Invalidation, TagStamps } from '../types.ts'
import { Batch } from './batch.ts'
import { ChangeQueue, sendChange, splitChange } from './changes.ts'
import { Breaker, FairDeadline, maxKeysUnderWay, Slots } from './limits.ts'
import type {
  EntryWrite,
  HeldLease,
  ImportStore,
  LeaseRenewal,
  ReadMode,
  ReadResult,
  Store,
  StoredEntry,
  StoreListener,
  WriteOutcome,
} from './store.ts'
import { isAnswer, isOfReplica, isOutage, kindOf, lateError, refusalOf } from './store-errors.ts'
import { StoreWarnings } from './store-warnings.ts'

const readModes: readonly ReadMode[] = ['get', 'load', 'likely-hit', 'refresh', 'force']

export interface TierDependencies {
  readonly settings: CacheSettings
  readonly counters: StoreCounters
  readonly events: Events
}

interface AskOptions<Result> {
  /** Receives an answer that arrives after its deadline. */
  readonly tooLate?: ((result: Result) => void) | undefined
  /** How many keys are asked for, each by another caller. @defaultValue 1 */
  readonly keys?: number | undefined
}

/**
 * A store that never fails or hangs its caller. Every operation has a deadline, every failure is counted and becomes
 * `undefined`, and a store that is down is not asked. Before it is asked again it is sent the changes that it missed.
 */
export class StoreTier {
  /** Moving average of the time until an answer, 0 before the first. */
  roundTripMs = 0
  readonly #counters: StoreCounters
  readonly #events: Events
  readonly #warnings: StoreWarnings
  readonly #deadline: FairDeadline
  readonly #breaker: Breaker
  readonly #changes = new ChangeQueue()
  readonly #slots = new Slots(maxKeysUnderWay)
  readonly #reads: ReadonlyMap<ReadMode, Batch<string, ReadResult>>
  readonly #writes: Batch<EntryWrite, WriteOutcome>
  readonly #releases: Batch<HeldLease, void>
  readonly #renewals: Batch<LeaseRenewal, void>
  /** Leases to give back once the store answers again, so that others need not wait until they expire. */
  readonly #unreleased: HeldLease[] = []
  #lastRelease: Promise<void> | undefined
  #state: StoreState = 'up'
  #opened: Store | undefined
  #opening: Promise<Store> | undefined
  /** Settles once the first connection is made or has failed, and is `undefined` afterwards. */
  #connecting: Promise<void> | undefined
  /** Whether the store answers again and is being sent the changes that it missed. */
  #isCatchingUp = false
  #openingError: unknown
  #isClosed = false
  readonly #firstLoss = Promise.withResolvers<never>()
  readonly #listener: StoreListener = {
    subscriptionFailed: (error, refusedRight) => {
      if (refusedRight !== undefined) this.#warnings.channelRefused(error, refusedRight)
      this.#events.emit('error', { operation: 'connection', error })
      this.#updateState()
    },
    refused: (error) => this.#warnings.refused(error, this.#opened?.rights),
    sharedWith: (name) => this.#warnings.sharedWith(name),
    lost: (error) => {
      this.#firstLoss.reject(error)
      this.#recordLoss(error)
    },
    ready: () => void this.#breaker.probeNow(),
  }

  constructor(importStore: ImportStore, { settings, counters, events }: TierDependencies) {
    this.#counters = counters
    this.#events = events
    this.#warnings = new StoreWarnings(settings)
    this.#deadline = new FairDeadline(settings.storeTimeoutMs)
    const probe = () => this.#probe()
    this.#breaker = new Breaker({ ...settings.breaker, probe, onChange: () => this.#updateState() })
    const batch = (mode: ReadMode) => new Batch<string, ReadResult>({ send: (keys) => this.#readAll(keys, mode, []) })
    this.#reads = new Map(readModes.map((mode) => [mode, batch(mode)]))
    const attemptAll = <Item, Result>(work: (items: readonly Item[]) => Promise<Result>) => {
      return (items: readonly Item[]) => this.#attempt('write', () => work(items), { keys: items.length })
    }
    this.#releases = new Batch({ send: attemptAll((held) => this.#store.release(held).then(() => [])) })
    this.#renewals = new Batch({ send: attemptAll((renewals) => this.#store.renew(renewals).then(() => [])) })
    const bytesOf = ({ entry }: EntryWrite) => entry.payload.length
    this.#writes = new Batch({ send: attemptAll((writes) => this.#store.write(writes)), bytesOf })
    this.#firstLoss.promise.catch(ignore)
    this.#opening = importStore()
    this.#connecting = this.#opening.then((store) => {
      this.#opened = store
      this.#opening = undefined
      return this.#connect()
    })
    this.#connecting.catch((error: unknown) => {
      if (this.#opened === undefined) this.#openingError = error
      this.#connecting = undefined
    })
  }

  get state(): StoreState {
    if (this.#breaker.isOpen) return 'down'
    const isListening = this.#connecting !== undefined || this.#opened?.isListening()
    return this.#breaker.hasTimeouts || !isListening ? 'degraded' : 'up'
  }

  get queuedChanges(): number {
    return this.#changes.size
  }

  get isConnecting(): boolean {
    return this.#connecting !== undefined
  }

  /** Waits for the first connection, at most as long as for any answer. */
  async connected(): Promise<void> {
    await this.#attempt('connection', () => Promise.resolve())
  }

  /**
   * What the store holds under the key, or `undefined` when it does not answer. Reads without tags that are asked for at the
   * same time become one round trip.
   */
  read(key: string, mode: ReadMode, tags: readonly string[]): Promise<ReadResult | undefined> {
    const reads = tags.length === 0 ? this.#reads.get(mode) : undefined
    if (reads !== undefined) return reads.add(key)
    return this.#readAll([key], mode, tags).then((results) => results?.[0])
  }

  #readAll(keys: readonly string[], mode: ReadMode, tags: readonly string[]): Promise<ReadResult[] | undefined> {
    const ask = () => this.#store.read(keys, mode, tags)
    // After the deadline the caller no longer waits, and will not load: give back its leases.
    return this.#attempt('read', ask, { tooLate: (results) => this.#releaseAll(keys, results), keys: keys.length })
  }

  /** Values that are written at the same time share round trips. */
  write(write: EntryWrite): Promise<WriteOutcome | undefined> {
    return this.#writes.add(write)
  }

  /** Whether the value was stored. If not, the key is invalidated, now or once the store is back. */
  async set(key: string, entry: StoredEntry): Promise<boolean> {
    const change = { tags: [], keys: [key], all: false }
    const isStored = await this.#attemptChange('write', () => this.#store.set(key, entry))
    // A failed `set` may mean that only this value was refused, so the key must still be invalidated.
    if (isStored) this.#changes.addSent(change)
    else await this.invalidate(change)
    return isStored
  }

  /** Sends a change, or queues it until the store is back. */
  async invalidate(change: Change): Promise<Invalidation> {
    const parts = splitChange(change)
    const sent = await Promise.all(parts.map((part) => this.#invalidatePart(part)))
    const propagated = !sent.includes(false)
    return { propagated, queued: !propagated }
  }

  async #invalidatePart(change: Change): Promise<boolean> {
    const isSent = await this.#attemptChange('invalidate', () => sendChange(this.#store, change))
    if (isSent) this.#changes.addSent(change)
    else {
      // The store must not be read until it has the change.
      this.#changes.add(change)
      this.#breaker.open()
    }
    return isSent
  }

  /** May fail without harm: a lease expires by itself. */
  async release(held: HeldLease): Promise<void> {
    if (this.#breaker.isOpen) return void this.#unreleased.push(held)
    this.#lastRelease = this.#releases.add(held)
    await this.#lastRelease
  }

  async renew(renewal: LeaseRenewal): Promise<void> {
    if (!this.#breaker.isOpen) await this.#renewals.add(renewal)
  }

  /** `undefined` when the store does not answer. */
  stamps(tags: readonly string[], begins: boolean): Promise<TagStamps | undefined> {
    return this.#attempt('read', () => this.#store.stamps(tags, begins))
  }

  /** Removes an entry that cannot be read, and counts it. */
  async discard(key: string, error: unknown): Promise<void> {
    this.#counters.errors.decode++
    this.#events.emit('error', { operation: 'decode', error, key })
    await this.#attempt('write', () => this.#store.discard(key))
  }

  /** Reads the store's clock, which verifies memory. */
  async ping(): Promise<void> {
    if (!this.#breaker.isOpen) await this.#attempt('read', () => this.#store.ping())
  }

  async close(): Promise<void> {
    if (this.#lastRelease !== undefined) await withDeadline(this.#lastRelease, 1_000) // answers come in their order
    this.#isClosed = true
    this.#breaker.stop()
    await this.#opening?.catch(ignore)
    await this.#opened?.close()
  }

  /** Only used once the store is imported: every caller waits for that first. */
  get #store(): Store {
    return this.#opened as Store
  }

  #attempt<Result>(
    operation: StoreOperation,
    work: () => Promise<Result>,
    options?: AskOptions<Result>,
  ): Promise<Result | undefined> {
    if (this.#openingError !== undefined) return Promise.reject(this.#openingError)
    if (!this.#breaker.isOpen) return this.#ask(operation, work, options)
    this.#counters.errors.refused++
    return Promise.resolve(undefined)
  }

  /** Whether the store has acknowledged the change. */
  async #attemptChange(operation: StoreOperation, work: () => Promise<void>): Promise<boolean> {
    const done = () => work().then(() => true)
    // While the store catches up, new changes go past the breaker: queued behind the old ones, they might never all be sent.
    const answer = await (this.#isCatchingUp ? this.#ask(operation, done) : this.#attempt(operation, done))
    return answer === true
  }

  async #ask<Result>(
    operation: StoreOperation,
    work: () => Promise<Result>,
    { tooLate, keys = 1 }: AskOptions<Result> = {},
  ): Promise<Result | undefined> {
    // Loading a package takes time that must not count as the store's.
    if (this.#opening !== undefined) await this.#opening.catch(ignore)
    const turn = this.#slots.take(keys)
    if (turn !== undefined) await turn
    try {
      if (turn !== undefined && this.#breaker.isOpen && !this.#isCatchingUp) {
        this.#counters.errors.refused++
        return undefined
      }
      const sentAt = performance.now()
      const connecting = this.#connecting
      const asked = connecting === undefined ? work() : connecting.then(work)
      const answer = await this.#deadline.race(asked, lateError, tooLate)
      this.#breaker.recordSuccess()
      const took = performance.now() - sentAt
      this.roundTripMs = this.roundTripMs === 0 ? took : 0.9 * this.roundTripMs + 0.1 * took
      this.#updateState()
      return answer
    } catch (error) {
      if (this.#openingError !== undefined) throw this.#openingError
      this.#recordFailure(operation, error, keys)
      return undefined
    } finally {
      this.#slots.give(keys)
    }
  }

  #recordFailure(operation: StoreOperation, error: unknown, callers: number): void {
    const kind = kindOf(error, operation)
    this.#counters.errors[kind]++
    this.#warnings.refused(error, this.#opened?.rights)
    if (kind === 'timeout') this.#breaker.recordTimeout(callers)
    else if (isOutage(error)) this.#markLost()
    if (isOfReplica(error)) this.#reconnect()
    this.#updateState()
    this.#events.emit('error', { operation, error })
  }

  async #probe(): Promise<boolean> {
    try {
      await this.#deadline.race(this.#store.ping(), lateError)
      this.#isCatchingUp = true
      await this.#changes.flush((change) => this.#deadline.race(sendChange(this.#store, change), lateError))
      const unreleased = this.#unreleased.splice(0)
      if (unreleased.length > 0) void this.#store.release(unreleased).catch(ignore)
      return true
    } catch (error) {
      if (!isAnswer(error) || isOfReplica(error)) this.#reconnect()
      return false
    } finally {
      this.#isCatchingUp = false
    }
  }

  /** Opens a new connection if this one seems dead. `ready` of the listener is called once it works. */
  #reconnect(): void {
    this.#changes.noteLoss()
    this.#store.reconnect(this.#listener).catch(ignore)
  }

  async #connect(): Promise<void> {
    if (this.#isClosed) return
    const connected = this.#store.connect(this.#listener)
    connected.then(
      () => this.#breaker.probeNow(),
      (error: unknown) => this.#recordLoss(error),
    )
    try {
      await Promise.race([connected, this.#firstLoss.promise])
    } finally {
      this.#connecting = undefined
    }
  }

  #recordLoss(error: unknown): void {
    if (!this.#breaker.isOpen) this.#counters.errors[refusalOf(error) ?? 'connection']++
    this.#warnings.refused(error, this.#opened?.rights)
    this.#markLost()
    this.#events.emit('error', { operation: 'connection', error })
  }

  #markLost(): void {
    this.#changes.noteLoss()
    this.#breaker.open()
  }

  async #releaseAll(keys: readonly string[], results: readonly ReadResult[]): Promise<void> {
    const held = results.flatMap(({ lease }, index) => (lease ? [{ key: keys[index] as string, lease }] : []))
    // Past the breaker: the late answer shows that the store works.
    if (held.length > 0) await this.#store.release(held).catch(ignore)
  }

  #updateState(): void {
    const state = this.state
    if (state === this.#state) return
    this.#state = state
    this.#events.emit('state', { state })
  }
}

function ignore(): void {}
