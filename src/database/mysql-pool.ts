import { loadPeer } from '../shared/errors.ts'
import type { ConnectionControl } from './connection-control.ts'
import { type PoolTuning, parseTuning, type Tuning } from './pool-tuning.ts'
import { type Callback, limitCallback } from './statement-limit.ts'
import { type PoolDriver, type PooledConnection, TunedPool } from './tuned-pool.ts'
import type { PoolStats } from './types.ts'

/** What is needed of a `Pool` of `mysql2`, the one with callbacks, which Kysely takes as well. */
export interface MysqlPoolLike {
  // biome-ignore lint/suspicious/noExplicitAny: a pool of the user's own, with its own connections
  getConnection(callback: (error: any, connection: any) => void): void
  // biome-ignore lint/suspicious/noExplicitAny: events differ in their arguments
  on(event: any, listener: (...values: any[]) => void): unknown
}

/** What is needed of its connections. */
interface MysqlConnection extends PooledConnection {
  readonly threadId: number
  readonly config: Readonly<Record<string, unknown>>
  query(sql: unknown, ...rest: unknown[]): unknown
  ping(callback: (error: unknown) => void): void
  release(): void
  destroy(): void
}

/** Parts of the pool that `mysql2` does not declare. */
interface MysqlPoolParts {
  readonly config?: { readonly connectionLimit?: number }
  readonly _allConnections?: { readonly length: number }
  readonly _freeConnections?: { readonly length: number }
}

/**
 * Tunes a `Pool` of `mysql2`, in place, and before its first use: what `mysql2` has not got at all, a limit on the wait for
 * a connection, on a connection's age, and a ping before a connection is used after a pause.
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
  if ('pool' in pool) throw new TypeError("Expected `pool` to be made by 'mysql2', got the wrapper of 'mysql2/promise'")
  const tuned = new TunedPool(new MysqlPoolDriver(pool), parseTuning(tuning))
  pool.on('connection', (connection: MysqlConnection) => tuned.created(connection))
  return Object.assign(pool, {
    getConnection(callback: (error: unknown, connection?: MysqlConnection) => void) {
      tuned.acquire().then(
        (connection) => callback(null, connection),
        (error) => callback(error),
      )
    },
    stats: () => tuned.stats(),
  })
}

/** MariaDB reads the first comment, seconds for every statement; MySQL the second, milliseconds for SELECTs. */
function limitSql(ms: number): string {
  return `set session /*M! max_statement_time = ${ms / 1_000} */ /*!50708 max_execution_time = ${Math.ceil(ms)} */`
}

/** The connection's own methods, whatever an earlier checkout has put over them. */
function prototypeOf(connection: MysqlConnection): Pick<MysqlConnection, 'release' | 'destroy'> {
  return Object.getPrototypeOf(connection) as MysqlConnection
}

class MysqlPoolDriver implements PoolDriver<MysqlConnection> {
  readonly #pool: MysqlPoolLike & MysqlPoolParts
  readonly #getConnection: MysqlPoolLike['getConnection']

  constructor(pool: MysqlPoolLike) {
    this.#pool = pool
    this.#getConnection = pool.getConnection.bind(pool)
  }

  take(callback: (error: unknown, connection?: MysqlConnection) => void): void {
    this.#getConnection(callback)
  }

  lend(connection: MysqlConnection, onReturn: (connection: MysqlConnection) => void): void {
    const { release, destroy } = prototypeOf(connection)
    connection.release = () => {
      onReturn(connection)
      release.call(connection)
    }
    connection.destroy = () => {
      onReturn(connection)
      destroy.call(connection)
    }
  }

  giveBack(connection: MysqlConnection): void {
    prototypeOf(connection).release.call(connection)
  }

  discard(connection: MysqlConnection): void {
    this.destroy(connection)
  }

  destroy(connection: MysqlConnection): void {
    prototypeOf(connection).destroy.call(connection)
  }

  ping(connection: MysqlConnection): Promise<unknown> {
    return new Promise<void>((resolve, reject) => {
      connection.ping((error) => (error ? reject(error) : resolve()))
    })
  }

  async cancel({ threadId, config }: MysqlConnection, isWanted: () => boolean): Promise<void> {
    const { createConnection } = await loadPeer(() => import('mysql2'), 'Cancelling a query', 'npm i mysql2')
    const { host, port, user, password, socketPath, ssl } = config
    const options = { host, port, user, password, socketPath, ssl } as Parameters<typeof createConnection>[0]
    const control = createConnection(options)
    control.on('error', () => {})
    try {
      await new Promise<void>((resolve, reject) => {
        control.connect((error: unknown) => (error ? reject(error) : resolve()))
      })
      if (!isWanted()) return
      await new Promise<void>((resolve, reject) => {
        control.query(`kill query ${threadId}`, (error: unknown) => (error ? reject(error) : resolve()))
      })
    } finally {
      control.destroy()
    }
  }

  limitStatements(
    connection: MysqlConnection,
    ms: number,
    via: Tuning['timeoutVia'],
    control: ConnectionControl,
  ): void {
    if (via !== 'client') {
      connection.query(limitSql(ms), () => {})
      return
    }
    const query = connection.query.bind(connection)
    connection.query = (...parameters) => {
      const callback = parameters.at(-1)
      if (typeof callback !== 'function') return query(...(parameters as [unknown]))
      return query(...([...parameters.slice(0, -1), limitCallback(callback as Callback, ms, control)] as [unknown]))
    }
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
