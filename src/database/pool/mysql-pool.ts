import { expectObject } from '../../shared/arguments.ts'
import type { ConnectionControl } from '../cancel/connection-control.ts'
import { failLostStreams } from '../cancel/lost-streams.ts'
import { type CancellableMysqlConnection, mysqlControl } from '../cancel/mysql-control.ts'
import { classifyError } from '../classify-error.ts'
import type { PoolStats } from '../types.ts'
import { type PoolTuning, parseTuning } from './pool-tuning.ts'
import { type PoolDriver, type PooledConnection, TunedPool } from './tuned-pool.ts'

/** The part of a `Pool` of `mysql2` that we use. Like Kysely, we use the pool with callbacks, not the one with promises. */
export interface MysqlPoolLike {
  // biome-ignore lint/suspicious/noExplicitAny: the user's pool, with its own type of connection
  getConnection(callback: (error: any, connection: any) => void): void
  // biome-ignore lint/suspicious/noExplicitAny: events differ in their arguments
  on(event: any, listener: (...values: any[]) => void): unknown
}

/** The part of its connections that we use. */
interface MysqlConnection extends PooledConnection, CancellableMysqlConnection {
  ping(callback: (error: unknown) => void): void
  release(): void
  destroy(): void
}

/** Fields of the pool that `mysql2` does not declare. */
interface UndeclaredPoolFields {
  readonly config?: { readonly connectionLimit?: number; readonly resetOnRelease?: boolean }
  readonly _allConnections?: { readonly length: number }
  readonly _freeConnections?: { readonly length: number }
  /** The callbacks of those who wait for a connection. */
  readonly _connectionQueue?: { shift(): PoolCallback | undefined }
}

type PoolCallback = (error: unknown, connection?: MysqlConnection) => void

/**
 * Tunes a `Pool` of `mysql2` in place. Call it before the pool's first use. It adds three things that `mysql2` lacks: a limit
 * on the wait for a connection, a limit on the age of a connection, and a ping before an idle connection is used.
 *
 * @returns the same pool, with `stats()`
 * @throws TypeError for a bad option, or for the promise wrapper of `mysql2/promise`
 *
 * @example
 * ```ts
 * const { options, tuning } = poolOptions('mysql2', { poolSize: 10, maxOverflow: 20 })
 * const pool = tuneMysqlPool(createPool({ uri, ...options }), tuning)
 * ```
 */
export function tuneMysqlPool<Pool extends MysqlPoolLike>(
  pool: Pool,
  tuning: PoolTuning = {},
): Pool & { stats(): PoolStats } {
  expectObject(pool, 'pool', ['getConnection', 'on'], "a Pool of 'mysql2'")
  if ('pool' in pool) throw new TypeError("Expected `pool` to be made by 'mysql2', got the wrapper of 'mysql2/promise'")
  const parsed = parseTuning(tuning)
  const { statementTimeoutMs } = parsed
  const driver = new MysqlPoolDriver(pool)
  const tuned = new TunedPool(driver, parsed)
  pool.on('connection', (connection: MysqlConnection) => {
    tuned.addConnection(connection)
    failLostStreams(connection)
    watchRefusedWrites(connection, () => tuned.recordRefusedWrite())
    if (!driver.resetsOnRelease) limitStatements(connection)
  })
  const limitStatements = (connection: MysqlConnection) => {
    if (statementTimeoutMs !== undefined) connection.query(setTimeoutSql(statementTimeoutMs), () => {})
  }
  return Object.assign(pool, {
    getConnection(callback: PoolCallback) {
      if (driver.isQueued(callback)) return driver.connect(callback)
      tuned.acquire().then(
        (connection) => {
          // The server answers this before the caller's first query, because `mysql2` sends one query after another.
          if (driver.resetsOnRelease) limitStatements(connection)
          callback(null, connection)
        },
        (error) => callback(error),
      )
    },
    stats: () => tuned.stats(),
  })
}

/** `mysql2` reports the error of a query only to its callback, which is how Kysely queries. So the callback is wrapped. */
function watchRefusedWrites(connection: MysqlConnection, onRefused: () => void): void {
  const query = connection.query.bind(connection) as (...values: unknown[]) => unknown
  Object.assign(connection, {
    query(...values: unknown[]) {
      const callback = values.at(-1)
      if (typeof callback !== 'function') return query(...values)
      return query(...values.slice(0, -1), (error: { readonly errno?: number } | null, ...results: unknown[]) => {
        if (error && classifyError(error, 'mysql').kind === 'read-only') onRefused()
        callback(error, ...results)
      })
    },
  })
}

/** MariaDB runs the first comment: seconds, for every statement. MySQL runs the second: milliseconds, for SELECTs. */
function setTimeoutSql(ms: number): string {
  return `set session /*M! max_statement_time = ${ms / 1_000} */ /*!50708 max_execution_time = ${Math.ceil(ms)} */`
}

/** The original methods of the connection, without the replacements of an earlier checkout. */
function prototypeOf(connection: MysqlConnection): Pick<MysqlConnection, 'release' | 'destroy'> {
  return Object.getPrototypeOf(connection) as MysqlConnection
}

class MysqlPoolDriver implements PoolDriver<MysqlConnection> {
  readonly #pool: MysqlPoolLike & UndeclaredPoolFields
  readonly #getConnection: MysqlPoolLike['getConnection']

  /** Callbacks that have left the pool's queue. */
  readonly #queued = new WeakSet<PoolCallback>()

  constructor(pool: MysqlPoolLike) {
    this.#pool = pool
    this.#getConnection = pool.getConnection.bind(pool)
    this.#watchQueue(this.#pool._connectionQueue)
  }

  /** Whether a connection loses the settings of its session each time it is given back. */
  get resetsOnRelease(): boolean {
    return this.#pool.config?.resetOnRelease === true
  }

  connect(callback: PoolCallback): void {
    this.#getConnection(callback)
  }

  /**
   * Whether `mysql2` itself requests a connection for one of our callbacks. It does so for the next callback in its queue
   * when a connection was closed. Tracing may have wrapped the callback by then.
   */
  isQueued(callback: PoolCallback): boolean {
    return this.#queued.has(callback)
  }

  #watchQueue(queue: UndeclaredPoolFields['_connectionQueue']): void {
    if (queue === undefined) return
    const shift = queue.shift.bind(queue)
    queue.shift = () => {
      const callback = shift()
      if (callback !== undefined) this.#queued.add(callback)
      return callback
    }
  }

  onNextRelease(connection: MysqlConnection, listener: (connection: MysqlConnection) => void): void {
    const { release, destroy } = prototypeOf(connection)
    connection.release = () => {
      listener(connection)
      release.call(connection)
    }
    connection.destroy = () => {
      listener(connection)
      destroy.call(connection)
    }
  }

  release(connection: MysqlConnection): void {
    prototypeOf(connection).release.call(connection)
  }

  discard(connection: MysqlConnection): void {
    prototypeOf(connection).destroy.call(connection)
  }

  ping(connection: MysqlConnection): Promise<unknown> {
    return new Promise<void>((resolve, reject) => {
      connection.ping((error) => (error ? reject(error) : resolve()))
    })
  }

  isReadOnly(connection: MysqlConnection): Promise<boolean> {
    return new Promise((resolve, reject) => {
      connection.query('select @@global.read_only or @@innodb_read_only as refuses', (error, rows) =>
        error ? reject(error) : resolve((rows as { readonly refuses: number }[])[0]?.refuses !== 0),
      )
    })
  }

  controlOf(connection: MysqlConnection): ConnectionControl {
    return mysqlControl(connection)
  }

  counts(): { readonly total: number; readonly idle: number; readonly max: number } {
    const { config, _allConnections, _freeConnections } = this.#pool
    return {
      total: _allConnections?.length ?? 0,
      idle: _freeConnections?.length ?? 0,
      max: config?.connectionLimit ?? 10,
    }
  }
}
