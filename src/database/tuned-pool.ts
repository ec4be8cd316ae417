import { Checkouts, type Visit } from './checkouts.ts'
import { type ConnectionControl, controlReceiver } from './connection-control.ts'
import type { Tuning } from './pool-tuning.ts'
import type { PoolStats } from './types.ts'
import { within } from './within.ts'

/** From when a connection counts as idle for `prePing: 'idle'`. */
const idleMs = 1_000

/** What the tuning needs of a pool, in one form for all drivers. */
export interface PoolDriver<Connection extends PooledConnection> {
  /** Asks the pool for a connection, as it gives them itself. */
  take(callback: (error: unknown, connection?: Connection) => void): void
  /** Hears once that whoever gets the connection has given it back. */
  lend(connection: Connection, onReturn: (connection: Connection) => void): void
  giveBack(connection: Connection): void
  /** Closes the socket, without a farewell that nobody may answer, and forgets the connection. */
  discard(connection: Connection): void
  ping(connection: Connection): Promise<unknown>
  /** Asks the server, from another connection, to cancel what this one runs. */
  cancel(connection: Connection, isWanted: () => boolean): Promise<void>
  /** Closes the socket of a connection that somebody holds. */
  destroy(connection: Connection): void
  /** Ends statements of this connection that take longer. */
  limitStatements(connection: Connection, ms: number, via: Tuning['timeoutVia'], control: ConnectionControl): void
  counts(): { readonly total: number; readonly idle: number; readonly max: number }
}

export interface PooledConnection {
  on(event: 'error', listener: () => void): unknown
}

/** Hands out connections that are alive and not too old, in time or not at all. */
export class TunedPool<Connection extends PooledConnection> {
  readonly #driver: PoolDriver<Connection>
  readonly #tuning: Tuning
  readonly #checkouts: Checkouts<Connection>
  readonly #lives = new WeakMap<Connection, { readonly endsAt: number; usedAt: number }>()
  /** When a ping failed last: what was not used since is as dead, in all likelihood. */
  #doubtedAt = -Infinity
  readonly #counters = { pings: 0, failedPings: 0, recycled: 0, lostInUse: 0 }

  constructor(driver: PoolDriver<Connection>, tuning: Tuning) {
    this.#driver = driver
    this.#tuning = tuning
    this.#checkouts = new Checkouts(tuning, () => driver.counts().max)
  }

  /** The pool made a connection. */
  created(connection: Connection): void {
    const { recycleMs, statementTimeoutMs, timeoutVia } = this.#tuning
    const now = performance.now()
    this.#lives.set(connection, { endsAt: now + recycleMs * (1 - Math.random() * 0.1), usedAt: now })
    // Without a listener this is an uncaught exception while somebody holds it.
    connection.on('error', () => {
      if (this.#checkouts.has(connection)) this.#counters.lostInUse += 1
    })
    if (statementTimeoutMs === undefined) return
    this.#driver.limitStatements(connection, statementTimeoutMs, timeoutVia, this.#controlOf(connection))
  }

  /** @throws {@link PoolTimeoutError} when none became free in time; whatever connecting throws */
  acquire(): Promise<Connection> {
    const receive = controlReceiver()
    return new Promise((resolve, reject) => this.#take(this.#checkouts.enter({ resolve, reject, receive })))
  }

  stats(): PoolStats {
    const { size: inUse, waiting, acquired, timeouts, leaks } = this.#checkouts
    return { ...this.#driver.counts(), inUse, waiting, acquired, timeouts, leaks, ...this.#counters }
  }

  #take(visit: Visit<Connection>): void {
    try {
      this.#driver.take((error, connection) => {
        if (connection === undefined) this.#fail(visit, error)
        else this.#check(visit, connection)
      })
    } catch (error) {
      // As `pg` does for an address it cannot read.
      this.#fail(visit, error)
    }
  }

  #fail(visit: Visit<Connection>, error: unknown): void {
    this.#checkouts.leave(visit)
    visit.caller.reject(error)
  }

  #check(visit: Visit<Connection>, connection: Connection): void {
    const isFit = !visit.isWaiting || this.#isFit(connection)
    if (typeof isFit === 'boolean') this.#serve(visit, connection, isFit)
    else isFit.then((isFit) => this.#serve(visit, connection, isFit))
  }

  #serve(visit: Visit<Connection>, connection: Connection, isFit: boolean): void {
    if (!isFit) {
      this.#driver.discard(connection)
      if (visit.isWaiting) this.#take(visit)
    } else if (visit.isWaiting) {
      this.#checkouts.lend(connection, visit)
      this.#driver.lend(connection, this.#returned)
      visit.caller.receive?.(this.#controlOf(connection))
      visit.caller.resolve(connection)
    } else this.#driver.giveBack(connection)
  }

  readonly #returned = (connection: Connection): void => {
    const life = this.#lives.get(connection)
    if (life !== undefined) life.usedAt = performance.now()
    this.#checkouts.return(connection)
  }

  #isFit(connection: Connection): boolean | Promise<boolean> {
    const now = performance.now()
    const { endsAt = Infinity, usedAt = now } = this.#lives.get(connection) ?? {}
    if (now > endsAt) {
      this.#counters.recycled += 1
      return false
    }
    const { prePing } = this.#tuning
    if (prePing === false || (prePing === 'idle' && now - usedAt < idleMs)) return true
    return usedAt >= this.#doubtedAt && this.#answers(connection)
  }

  async #answers(connection: Connection): Promise<boolean> {
    this.#counters.pings += 1
    const ping = this.#driver.ping(connection).then(
      () => true,
      () => false,
    )
    if ((await within(this.#tuning.pingTimeoutMs, ping)) === true) return true
    this.#counters.failedPings += 1
    this.#doubtedAt = performance.now()
    return false
  }

  #controlOf(connection: Connection): ConnectionControl {
    return {
      cancel: (isWanted) => this.#driver.cancel(connection, isWanted),
      destroy: () => this.#driver.destroy(connection),
    }
  }
}
