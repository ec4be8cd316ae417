import { Checkouts } from './checkouts.ts'
import { controlReceiver } from './connection-control.ts'
import type { Tuning } from './pool-tuning.ts'
import type { PoolStats } from './types.ts'
import { within } from './within.ts'

/** From when a connection counts as idle for `prePing: 'idle'`. */
const idleMs = 1_000

/** What the tuning needs of a pool, in one form for all drivers. */
export interface PoolDriver<Connection extends object> {
  /** A connection from the pool, as the pool itself gives it. */
  take(): Promise<Connection>
  giveBack(connection: Connection): void
  /** Closes the socket, without a farewell that nobody may answer, and forgets the connection. */
  discard(connection: Connection): void
  ping(connection: Connection): Promise<unknown>
  /** Asks the server, from another connection, to cancel what this one runs. */
  cancel(connection: Connection, isWanted: () => boolean): Promise<void>
  /** Closes the socket of a connection that somebody holds. */
  destroy(connection: Connection): void
  counts(): { readonly total: number; readonly idle: number; readonly max: number }
}

/** Hands out connections that are alive and not too old, in time or not at all. */
export class TunedPool<Connection extends object> {
  readonly #driver: PoolDriver<Connection>
  readonly #tuning: Tuning
  readonly #checkouts: Checkouts<Connection>
  readonly #expiresAt = new WeakMap<Connection, number>()
  readonly #usedAt = new WeakMap<Connection, number>()
  /** When a ping failed last: what was not used since is as dead, in all likelihood. */
  #doubtedAt = -Infinity
  readonly #counters = { acquired: 0, timeouts: 0, pings: 0, failedPings: 0, recycled: 0, lostInUse: 0 }

  constructor(driver: PoolDriver<Connection>, tuning: Tuning) {
    this.#driver = driver
    this.#tuning = tuning
    this.#checkouts = new Checkouts(tuning)
  }

  /** The pool made a connection. */
  created(connection: Connection): void {
    const now = performance.now()
    const { recycleMs } = this.#tuning
    this.#expiresAt.set(connection, now + recycleMs * (1 - Math.random() * 0.1))
    this.#usedAt.set(connection, now)
  }

  /** A connection has failed. Without a listener that is an uncaught exception while somebody holds it. */
  failed(connection: Connection): void {
    if (this.#checkouts.has(connection)) this.#counters.lostInUse += 1
  }

  /** @throws {@link PoolTimeoutError} when none became free in time; whatever connecting throws */
  async acquire(): Promise<Connection> {
    const receive = controlReceiver()
    const visit = this.#checkouts.enter()
    const deadline = performance.now() + this.#tuning.acquireTimeoutMs
    try {
      for (;;) {
        const connection = await this.#take(deadline)
        if (!(await this.#isFit(connection))) {
          this.#driver.discard(connection)
          continue
        }
        receive?.({
          cancel: (isWanted) => this.#driver.cancel(connection, isWanted),
          destroy: () => this.#driver.destroy(connection),
        })
        this.#counters.acquired += 1
        this.#checkouts.add(connection, visit)
        return connection
      }
    } finally {
      this.#checkouts.leave()
    }
  }

  /** Somebody gave the connection back. */
  released(connection: Connection): void {
    this.#usedAt.set(connection, performance.now())
    this.#checkouts.delete(connection)
  }

  stats(): PoolStats {
    const { size: inUse, waiting, leaks } = this.#checkouts
    return { ...this.#driver.counts(), inUse, waiting, leaks, ...this.#counters }
  }

  #take(deadline: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      let late = false
      const timer = setTimeout(
        () => {
          late = true
          this.#counters.timeouts += 1
          reject(this.#checkouts.timeoutError(this.#driver.counts().max))
        },
        Math.max(0, deadline - performance.now()),
      )
      this.#driver.take().then(
        (connection) => {
          clearTimeout(timer)
          if (late) this.#driver.giveBack(connection)
          else resolve(connection)
        },
        (error) => {
          clearTimeout(timer)
          reject(error)
        },
      )
    })
  }

  async #isFit(connection: Connection): Promise<boolean> {
    const now = performance.now()
    if (now > (this.#expiresAt.get(connection) ?? Infinity)) {
      this.#counters.recycled += 1
      return false
    }
    const usedAt = this.#usedAt.get(connection) ?? now
    const { prePing, pingTimeoutMs } = this.#tuning
    if (prePing === false || (prePing === 'idle' && now - usedAt < idleMs)) return true
    if (usedAt < this.#doubtedAt) return false
    this.#counters.pings += 1
    const ping = this.#driver.ping(connection).then(
      () => true,
      () => false,
    )
    if ((await within(pingTimeoutMs, ping)) === true) return true
    this.#counters.failedPings += 1
    this.#doubtedAt = performance.now()
    return false
  }
}
