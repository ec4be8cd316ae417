import { withDeadline } from '../../shared/time/waiting.ts'
import { type ConnectionControl, currentRequester } from '../cancel/connection-control.ts'
import type { PoolStats } from '../types.ts'
import { type Checkout, Checkouts } from './checkouts.ts'
import type { ParsedTuning } from './pool-tuning.ts'

/** After this pause a connection counts as idle for `prePing: 'idle'`. */
const idleMs = 1_000

/** The operations on a driver's own pool, in one form for all drivers. */
export interface PoolDriver<Connection extends PooledConnection> {
  /** Requests a connection from the pool itself. */
  connect(callback: (error: unknown, connection?: Connection) => void): void
  /** Calls the listener when the next holder gives the connection back. */
  onNextRelease(connection: Connection, listener: (connection: Connection) => void): void
  release(connection: Connection): void
  /** Removes the connection from the pool and closes its socket at once: a dead server may not answer a farewell. */
  discard(connection: Connection): void
  ping(connection: Connection): Promise<unknown>
  /** Asks whether the session refuses writes, because its server has become a replica. */
  isReadOnly(connection: Connection): Promise<boolean>
  /** Ends queries of the connection from outside. Called before the first query of a holder. */
  controlOf(connection: Connection): ConnectionControl
  counts(): { readonly total: number; readonly idle: number; readonly max: number }
}

export interface PooledConnection {
  on(event: 'error', listener: () => void): unknown
}

/** Hands out connections that are alive and not too old, within `acquireTimeout`. */
export class TunedPool<Connection extends PooledConnection> {
  readonly #driver: PoolDriver<Connection>
  readonly #tuning: ParsedTuning
  readonly #checkouts: Checkouts<Connection>
  readonly #lifetimes = new WeakMap<Connection, { readonly endsAt: number; usedAt: number; verifiedAt: number }>()
  /** When a ping last failed. Connections that were not used since then are most likely dead too. */
  #pingFailedAt = -Infinity
  /** When a write was last refused. The server of an older connection may have become a replica. */
  #refusedAt = -Infinity
  readonly #counters = { pings: 0, failedPings: 0, recycled: 0, lostInUse: 0 }

  constructor(driver: PoolDriver<Connection>, tuning: ParsedTuning) {
    this.#driver = driver
    this.#tuning = tuning
    this.#checkouts = new Checkouts(tuning, () => driver.counts().max)
  }

  /** Tracks a connection that the pool has opened. */
  addConnection(connection: Connection): void {
    const now = performance.now()
    const lifetimeMs = this.#tuning.recycleMs * (1 - Math.random() * 0.1)
    this.#lifetimes.set(connection, { endsAt: now + lifetimeMs, usedAt: now, verifiedAt: now })
    // Without a listener, an error while the connection is in use would end the process.
    connection.on('error', () => {
      if (this.#checkouts.isHeld(connection)) this.#counters.lostInUse += 1
    })
  }

  /** @throws {@link PoolTimeoutError} when no connection becomes free in time; the driver's error when connecting fails */
  acquire(): Promise<Connection> {
    const requester = currentRequester()
    return new Promise((resolve, reject) => {
      const checkout = this.#checkouts.startWaiting({ resolve, reject, onControl: requester?.onControl })
      requester?.onQueued?.(() => {
        if (checkout.isWaiting) this.#fail(checkout, new Error('Nobody waits for the connection any more'))
      })
      this.#connect(checkout)
    })
  }

  /**
   * Call it when a session has refused a write because it is read-only. Each connection is then checked before its next
   * use.
   */
  recordRefusedWrite(): void {
    this.#refusedAt = performance.now()
  }

  /** Rejects all that wait, because no connection will come any more. */
  rejectWaiting(error: Error): void {
    for (const checkout of this.#checkouts.allWaiting()) this.#fail(checkout, error)
  }

  stats(): PoolStats {
    const { inUse, waiting, acquired, timeouts, leaks } = this.#checkouts
    const demand = this.#checkouts.demand.snapshot(performance.now())
    return { ...this.#driver.counts(), inUse, waiting, acquired, timeouts, leaks, ...this.#counters, demand }
  }

  #connect(checkout: Checkout<Connection>): void {
    try {
      this.#driver.connect((error, connection) => {
        if (connection === undefined) this.#fail(checkout, error)
        else this.#check(checkout, connection)
      })
    } catch (error) {
      // `pg` throws at once for a connection string that it cannot parse.
      this.#fail(checkout, error)
    }
  }

  #fail(checkout: Checkout<Connection>, error: unknown): void {
    this.#checkouts.stopWaiting(checkout)
    checkout.caller.reject(error)
  }

  #check(checkout: Checkout<Connection>, connection: Connection): void {
    const isUsable = !checkout.isWaiting || this.#isUsable(connection)
    if (typeof isUsable === 'boolean') this.#handOut(checkout, connection, isUsable)
    else isUsable.then((isUsable) => this.#handOut(checkout, connection, isUsable))
  }

  #handOut(checkout: Checkout<Connection>, connection: Connection, isUsable: boolean): void {
    if (!isUsable) {
      this.#driver.discard(connection)
      if (checkout.isWaiting) this.#connect(checkout)
    } else if (checkout.isWaiting) {
      this.#checkouts.checkOut(connection, checkout)
      this.#driver.onNextRelease(connection, this.#checkIn)
      checkout.caller.onControl?.(this.#driver.controlOf(connection))
      checkout.caller.resolve(connection)
    } else this.#driver.release(connection)
  }

  readonly #checkIn = (connection: Connection): void => {
    const lifetime = this.#lifetimes.get(connection)
    if (lifetime !== undefined) lifetime.usedAt = performance.now()
    this.#checkouts.checkIn(connection)
  }

  #isUsable(connection: Connection): boolean | Promise<boolean> {
    const now = performance.now()
    const lifetime = this.#lifetimes.get(connection)
    const { endsAt = Infinity, usedAt = now, verifiedAt = now } = lifetime ?? {}
    if (now > endsAt) {
      this.#counters.recycled += 1
      return false
    }
    if (lifetime !== undefined && verifiedAt <= this.#refusedAt) {
      lifetime.verifiedAt = now
      return this.#acceptsWrites(connection)
    }
    const { prePing } = this.#tuning
    if (prePing === false || (prePing === 'idle' && now - usedAt < idleMs)) return true
    return usedAt >= this.#pingFailedAt && this.#answersPing(connection)
  }

  async #acceptsWrites(connection: Connection): Promise<boolean> {
    const isReadOnly = this.#driver.isReadOnly(connection).catch(() => true)
    if (!(await withDeadline(isReadOnly, this.#tuning.pingTimeoutMs, () => true))) return true
    this.#counters.recycled += 1
    return false
  }

  async #answersPing(connection: Connection): Promise<boolean> {
    this.#counters.pings += 1
    const ping = this.#driver.ping(connection).then(
      () => true,
      () => false,
    )
    if (await withDeadline(ping, this.#tuning.pingTimeoutMs, () => false)) return true
    this.#counters.failedPings += 1
    this.#pingFailedAt = performance.now()
    return false
  }
}
