import { expectObject } from '../../shared/arguments.ts'
import type { ConnectionControl } from '../cancel/connection-control.ts'
import { endLostCursors } from '../cancel/lost-streams.ts'
import { type CancellablePgClient, postgresControl } from '../cancel/postgres-control.ts'
import type { PoolStats } from '../types.ts'
import { setStatementTimeout } from './pg-statement-timeout.ts'
import { type ParsedTuning, type PoolTuning, parseTuning } from './pool-tuning.ts'
import { type PoolDriver, type PooledConnection, TunedPool } from './tuned-pool.ts'

/** The part of a `Pool` of `pg` that we use. */
export interface PgPoolLike {
  // biome-ignore lint/suspicious/noExplicitAny: the user's pool, with its overloads
  connect(...callback: any[]): any
  // biome-ignore lint/suspicious/noExplicitAny: the user's pool, with its overloads
  end?(...callback: any[]): any
  // biome-ignore lint/suspicious/noExplicitAny: events differ in their arguments
  on(event: any, listener: (...values: any[]) => void): unknown
  readonly options: object
  readonly totalCount: number
  readonly idleCount: number
}

/** The part of its clients that we use. */
interface PgClient extends PooledConnection, CancellablePgClient {
  query(sql: unknown, ...rest: unknown[]): unknown
  release(destroy?: boolean | Error): void
}

/**
 * Tunes a `Pool` of `pg` in place. Call it before the pool's first use. Connections that were idle are pinged before they are
 * handed out, old ones are replaced, and nobody waits for one longer than `acquireTimeout`. When the server dies while a
 * connection is in use, its query fails; with plain `pg` the process ends.
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
  expectObject(pool, 'pool', ['connect', 'on'], "a Pool of 'pg'")
  const parsed = parseTuning(tuning)
  const tuned = new TunedPool(new PgPoolDriver(pool), parsed)
  pool.on('connect', (client: PgClient) => {
    tuned.addConnection(client)
    endLostCursors(client)
    client.connection?.on('errorMessage', ({ code }) => {
      if (code === readOnlyTransaction) tuned.recordRefusedWrite()
    })
  })
  // The event comes when an idle connection is lost. The pool has removed it, but without a listener the process would
  // end.
  pool.on('error', () => {})
  if (parsed.statementTimeoutMs !== undefined) {
    limitStatements(pool, Math.min(parsed.statementTimeoutMs, longestStatementTimeoutMs), parsed)
  }
  const end = pool.end?.bind(pool)
  return Object.assign(pool, {
    connect: withOptionalCallback(() => tuned.acquire()),
    end(...callback: unknown[]) {
      const ended = end?.(...callback)
      // `pg-pool` forgets those that wait, and tells later callers this.
      tuned.rejectWaiting(new Error('Cannot use a pool after calling end on the pool'))
      return ended
    },
    stats: () => tuned.stats(),
  })
}

/** SQLSTATE of a write in a read-only session. */
const readOnlyTransaction = '25006'

/** PostgreSQL refuses a connection with a larger value. */
const longestStatementTimeoutMs = 2 ** 31 - 1

function limitStatements(pool: PgPoolLike, timeoutMs: number, { timeoutVia, onWarn }: ParsedTuning): void {
  if (timeoutVia === 'startup') Object.assign(pool.options, { statement_timeout: timeoutMs })
  else pool.on('connect', (client: PgClient) => setStatementTimeout(client, timeoutMs, onWarn))
}

/** `pool.connect` of `pg` returns a promise or takes a callback. The pool's own `query` calls it with a callback. */
function withOptionalCallback(acquire: () => Promise<PgClient>) {
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
  readonly #connect: PoolDriver<PgClient>['connect']

  constructor(pool: PgPoolLike) {
    this.#pool = pool
    this.#connect = pool.connect.bind(pool)
  }

  connect(callback: (error: unknown, client?: PgClient) => void): void {
    this.#connect(callback)
  }

  onNextRelease(client: PgClient, listener: (client: PgClient) => void): void {
    // The pool sets a new `release` for each checkout.
    const { release } = client
    client.release = (destroy) => {
      listener(client)
      release(destroy)
    }
  }

  release(client: PgClient): void {
    // `pg-pool` hands the client to the next caller within `release`. Without the tick, a thousand callers in its queue who
    // no longer wait would overflow the stack, and the client would never come back.
    process.nextTick(() => client.release())
  }

  discard(client: PgClient): void {
    client.connection?.stream?.destroy()
    client.release(true)
  }

  /** Sends the empty query: one round trip, and the server has nothing to plan. */
  ping(client: PgClient): Promise<unknown> {
    return client.query(';') as Promise<unknown>
  }

  async isReadOnly(client: PgClient): Promise<boolean> {
    const { rows } = (await client.query('show transaction_read_only')) as { readonly rows: readonly object[] }
    return (rows[0] as { transaction_read_only?: unknown }).transaction_read_only === 'on'
  }

  controlOf(client: PgClient): ConnectionControl {
    return postgresControl(client, (this.#pool.options as { readonly stream?: unknown }).stream)
  }

  counts(): { readonly total: number; readonly idle: number; readonly max: number } {
    const { totalCount: total, idleCount: idle, options } = this.#pool
    return { total, idle, max: (options as { readonly max: number }).max }
  }
}
