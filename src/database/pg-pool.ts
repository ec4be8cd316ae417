import type { ConnectionControl } from './connection-control.ts'
import { type PoolTuning, parseTuning, type Tuning } from './pool-tuning.ts'
import { type Callback, limitCallback, limitStatement } from './statement-limit.ts'
import { type PoolDriver, type PooledConnection, TunedPool } from './tuned-pool.ts'
import type { PoolStats } from './types.ts'

/** What is needed of a `Pool` of `pg`. */
export interface PgPoolLike {
  // biome-ignore lint/suspicious/noExplicitAny: a pool of the user's own, overloads and all
  connect(...callback: any[]): any
  // biome-ignore lint/suspicious/noExplicitAny: events differ in their arguments
  on(event: any, listener: (...values: any[]) => void): unknown
  readonly options: object
  readonly totalCount: number
  readonly idleCount: number
}

/** What is needed of its clients. */
interface PgClient extends PooledConnection {
  query(sql: unknown, ...rest: unknown[]): unknown
  release(destroy?: boolean | Error): void
  readonly processID?: number | null
  readonly connection?: { readonly stream?: { destroy(): void } }
}

type ClientClass = new (
  options: object,
) => {
  connect(): Promise<unknown>
  query(sql: string, values: readonly unknown[]): Promise<unknown>
  end(): Promise<unknown>
  on(event: 'error', listener: () => void): unknown
}

/**
 * Tunes a `Pool` of `pg`, in place, and before its first use: connections are pinged before they are handed out if they
 * were idle, closed when they are old, awaited no longer than `acquireTimeout`; and a server that dies while a connection
 * is in use fails its query, where plain `pg` ends the process.
 *
 * @returns the same pool, with `stats()`
 * @throws TypeError for a bad option
 *
 * @example
 * ```ts
 * const { options, tuning } = poolOptions('pg', { poolSize: 10, maxOverflow: 20 })
 * const pool = tunePgPool(new pg.Pool({ connectionString, ...options }), tuning)
 * const db = new Kysely<Database>(instrument({ dialect: new PostgresDialect({ pool }) }, { pool }))
 * ```
 */
export function tunePgPool<Pool extends PgPoolLike>(
  pool: Pool,
  tuning: PoolTuning = {},
): Pool & { stats(): PoolStats } {
  const parsed = parseTuning(tuning)
  const tuned = new TunedPool(new PgPoolDriver(pool), parsed)
  pool.on('connect', (client: PgClient) => tuned.created(client))
  // An idle connection that is lost: the pool has dropped it already, and without a listener the process would end.
  pool.on('error', () => {})
  const { statementTimeoutMs, timeoutVia } = parsed
  if (statementTimeoutMs !== undefined && timeoutVia === 'startup') {
    Object.assign(pool.options, { statement_timeout: statementTimeoutMs })
  }
  return Object.assign(pool, { connect: either(() => tuned.acquire()), stats: () => tuned.stats() })
}

/** `pg` takes a callback where it has not got one, and its own `pool.query` gives it one. */
function either(acquire: () => Promise<PgClient>) {
  return (callback?: (error: unknown, client?: PgClient, release?: PgClient['release']) => void) => {
    const acquired = acquire()
    if (callback === undefined) return acquired
    acquired.then(
      (client) => callback(undefined, client, (destroy) => client.release(destroy)),
      (error) => callback(error),
    )
    return undefined
  }
}

class PgPoolDriver implements PoolDriver<PgClient> {
  readonly #pool: PgPoolLike
  readonly #connect: PoolDriver<PgClient>['take']

  constructor(pool: PgPoolLike) {
    this.#pool = pool
    this.#connect = pool.connect.bind(pool)
  }

  take(callback: (error: unknown, client?: PgClient) => void): void {
    this.#connect(callback)
  }

  lend(client: PgClient, onReturn: (client: PgClient) => void): void {
    // The pool gives it another one each time.
    const { release } = client
    client.release = (destroy) => {
      onReturn(client)
      release(destroy)
    }
  }

  giveBack(client: PgClient): void {
    client.release()
  }

  discard(client: PgClient): void {
    this.destroy(client)
    client.release(true)
  }

  destroy(client: PgClient): void {
    client.connection?.stream?.destroy()
  }

  /** The empty query: a round trip, and nothing to plan. */
  ping(client: PgClient): Promise<unknown> {
    return client.query(';') as Promise<unknown>
  }

  async cancel({ processID }: PgClient, isWanted: () => boolean): Promise<void> {
    const { Client } = this.#pool as unknown as { readonly Client: ClientClass }
    const { options } = this.#pool as { readonly options: { readonly password?: unknown } }
    // `password` is not enumerable.
    const control = new Client({ ...options, password: options.password })
    control.on('error', () => {})
    try {
      await control.connect()
      if (isWanted()) await control.query('select pg_cancel_backend($1)', [processID])
    } finally {
      await control.end()
    }
  }

  limitStatements(client: PgClient, ms: number, via: Tuning['timeoutVia'], control: ConnectionControl): void {
    if (via === 'startup') return
    if (via === 'set') {
      const set = client.query(`set statement_timeout = ${ms}`) as Promise<unknown>
      set.catch(() => {})
      return
    }
    const query = client.query.bind(client)
    client.query = (...parameters) => {
      const callback = parameters.at(-1)
      if (typeof callback === 'function') {
        return query(...([...parameters.slice(0, -1), limitCallback(callback as Callback, ms, control)] as [unknown]))
      }
      const result = query(...parameters)
      if (result instanceof Promise) limitStatement(result, ms, control)
      return result
    }
  }

  counts(): { readonly total: number; readonly idle: number; readonly max: number } {
    const { totalCount: total, idleCount: idle, options } = this.#pool
    return { total, idle, max: (options as { readonly max: number }).max }
  }
}
