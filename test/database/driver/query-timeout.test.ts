import { connect as connectSocket } from 'node:net'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  DummyDriver,
  Kysely,
  MysqlDialect,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import { createPool } from 'mysql2'
import pg from 'pg'
import { type InstrumentOptions, instrument, tuneMysqlPool, tunePgPool } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { type ConnectionControl, currentRequester } from '../../../src/database/cancel/connection-control.ts'
import { services } from '../../support/services.ts'
import { endlessQuery, mysqlServers, numbersTo } from '../support/mysql-servers.ts'

function open(dialect: Dialect, options?: InstrumentOptions): Kysely<Record<string, never>> {
  const db = new Kysely<Record<string, never>>(instrument({ dialect }, { timeout: '300ms', ...options }))
  onTestFinished(() => db.destroy())
  return db
}

const one = async (db: Kysely<Record<string, never>>) =>
  (await sql<{ one: number }>`select 1 as one`.execute(db)).rows[0]?.one

describe.skipIf(!services.postgres).each(['plain', 'tuned'])('timeout on PostgreSQL, %s pool', (kind) => {
  function connect({ max = 3 } = {}) {
    const pool = new pg.Pool({ connectionString: services.postgres, max })
    pool.on('error', () => {})
    return open(new PostgresDialect({ pool: kind === 'tuned' ? tunePgPool(pool) : pool }))
  }

  it('cancels the query on the server, and its connection is clean', async () => {
    const db = connect()
    const mark = `mark${Math.random().toString(36).slice(2)}`
    await expect(sql`select pg_sleep(30), ${sql.lit(mark)}`.execute(db)).rejects.toMatchObject({
      code: 'ERR_QUERY_TIMEOUT',
      message: 'The query took longer than 300 ms and was cancelled',
      cause: { code: '57014' },
    })
    const running =
      await sql`select 1 from pg_stat_activity where state = 'active' and query like ${`%${mark}%`} and pid <> pg_backend_pid()`.execute(
        db,
      )
    expect(running.rows).toEqual([])
    for (let run = 0; run < 20; run += 1) expect(await one(db)).toBe(1)
  })

  it('leaves queries alone that are fast enough, and their errors', async () => {
    const db = connect()
    expect(await one(db)).toBe(1)
    await expect(sql`select nothing`.execute(db)).rejects.toMatchObject({ code: '42703' })
  })

  it('rolls the transaction back, and the connection serves the next one', async () => {
    const db = connect()
    const slow = db.transaction().execute(async (trx) => {
      await sql`select pg_sleep(30)`.execute(trx)
    })
    await expect(slow).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
    expect(await db.transaction().execute((trx) => sql<{ ok: number }>`select 1 as ok`.execute(trx))).toMatchObject({
      rows: [{ ok: 1 }],
    })
  })

  it('never cancels the query after the one that was meant', async () => {
    const db = connect({ max: 8 })
    // Queries that end about when they would be cancelled.
    const outcomes = await Promise.all(
      Array.from({ length: 24 }, async (_, number) => {
        const slow = await sql`select pg_sleep(${0.29 + (number % 4) * 0.01})`.execute(db).then(
          () => 'done',
          ({ code }) => code,
        )
        return [slow, await one(db)]
      }),
    )
    for (const [slow, next] of outcomes) {
      expect(['done', 'ERR_QUERY_TIMEOUT']).toContain(slow)
      expect(next).toBe(1)
    }
  })
})

const mysqlPools = mysqlServers.flatMap(({ server, url }) => ['plain', 'tuned'].map((kind) => ({ server, url, kind })))

describe.each(mysqlPools)('timeout on $server, $kind pool', ({ url, kind }) => {
  beforeEach(({ skip }) => skip(url === undefined))

  function connect() {
    const pool = createPool({ uri: url as string, connectionLimit: 3 })
    return open(new MysqlDialect({ pool: kind === 'tuned' ? tuneMysqlPool(pool) : pool }))
  }

  it('cancels the query on the server, and its connection is clean', async () => {
    const db = connect()
    const mark = `mark${Math.random().toString(36).slice(2)}`
    const slow = sql`select 1 as ${sql.id(mark)} from (${endlessQuery}) as e`
    await expect(slow.execute(db)).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT', cause: { errno: 1317 } })
    const running =
      await sql`select 1 from information_schema.processlist where info like ${`%${mark}%`} and id <> connection_id()`.execute(
        db,
      )
    expect(running.rows).toEqual([])
    for (let run = 0; run < 20; run += 1) expect(await one(db)).toBe(1)
  })

  it('reaches the server as the connection does, also through a tunnel', async () => {
    const { port, hostname } = new URL(url as string)
    const pool = createPool({
      uri: url as string,
      host: 'behind-the-tunnel.invalid',
      connectionLimit: 1,
      stream: () => connectSocket(Number(port), hostname),
    })
    const db = open(new MysqlDialect({ pool: kind === 'tuned' ? tuneMysqlPool(pool) : pool }))
    const session = () => sql`select connection_id() as id`.execute(db)
    const before = await session()
    await expect(endlessQuery.execute(db)).rejects.toMatchObject({ cause: { errno: 1317 } })
    expect(await session()).toEqual(before)
  })

  it('limits the wait for the rows of a stream, and not the time its reader takes', async () => {
    const db = connect()
    const rows = (seconds: number) =>
      sql<{ seq: number }>`select seq, sleep(if(seq = 3, ${seconds}, 0)) from ${sql.raw(numbersTo(4))}`.compile(db)
    const read = async (query: CompiledQuery<{ seq: number }>) => {
      const seen: number[] = []
      for await (const { rows } of db.getExecutor().stream(query, 1)) {
        seen.push(...rows.map(({ seq }) => seq))
        if (seen.length === 2) await new Promise((resolve) => setTimeout(resolve, 400))
      }
      return seen
    }
    expect(await read(rows(0))).toEqual([1, 2, 3, 4])
    await expect(read(rows(30))).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT', cause: { errno: 1317 } })
    for (let run = 0; run < 3; run += 1) expect(await one(db)).toBe(1)
  })
})

describe('timeout on a server that does not do as it is told', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  interface StuckOptions extends InstrumentOptions {
    readonly canCancel?: boolean
    /** Whether all callers get one connection, as from drivers over HTTP. */
    readonly isShared?: boolean
  }

  /** A PostgreSQL whose statements end when the test says so, those of our own at once. Its streams have two chunks. */
  function openStuck({ canCancel = true, isShared = false, ...options }: StuckOptions = {}) {
    const stuck = new Map<string, PromiseWithResolvers<QueryResult<never>>>()
    const sent: string[] = []
    const released: 'released'[] = []
    const executeQuery = ({ sql }: CompiledQuery): Promise<QueryResult<never>> => {
      sent.push(sql)
      if (!sql.includes('stuck')) return Promise.resolve({ rows: [] })
      const answer = Promise.withResolvers<QueryResult<never>>()
      stuck.set(sql, answer)
      return answer.promise
    }
    let gate = Promise.resolve()
    const control: ConnectionControl = {
      async cancel(isWanted) {
        await gate
        if (isWanted()) sent.push('cancel')
      },
      destroy: () => void sent.push('destroy'),
    }
    async function* streamQuery(query: CompiledQuery) {
      try {
        yield await executeQuery(query)
        yield { rows: [] }
      } finally {
        sent.push('close the stream')
      }
    }
    const connect = () => ({ executeQuery, streamQuery }) as DatabaseConnection
    const shared = connect()
    class Driver extends DummyDriver {
      override async acquireConnection() {
        if (canCancel) currentRequester()?.onControl(control)
        return isShared ? shared : connect()
      }
      override async rollbackTransaction(connection?: DatabaseConnection) {
        await connection?.executeQuery(CompiledQuery.raw('rollback'))
      }
      override async releaseConnection() {
        released.push('released')
      }
      override async destroy() {
        sent.push('close the pool')
      }
    }
    const dialect: Dialect = {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new Driver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    }
    const db = open(dialect, options)
    return {
      db,
      sent,
      released,
      /** Ends a statement. */
      end: (sql: string, result: QueryResult<never> = { rows: [] }) => stuck.get(sql)?.resolve(result),
      /** No cancellation is sent any more, until the function that is returned is called. */
      exhaust() {
        const { promise, resolve } = Promise.withResolvers<void>()
        gate = promise
        return resolve
      },
    }
  }
  const cancellations = (sent: readonly string[]) => sent.filter((sql) => sql === 'cancel')
  const failed = { code: 'ERR_QUERY_TIMEOUT', message: 'The query took longer than 300 ms and was cancelled' }

  it('runs nothing else on the connection, and gives it back, only when its query has ended', async () => {
    const { db, sent, released, end } = openStuck()
    const outcome = db.connection().execute((connection) =>
      // Kysely sends the second when the first has failed, as far as anybody can tell.
      Promise.allSettled([sql`stuck`.execute(connection), sql`select 2`.execute(connection)]),
    )
    await vi.advanceTimersByTimeAsync(301)
    expect(cancellations(sent)).toEqual(['cancel'])
    const before = released.length
    await vi.advanceTimersByTimeAsync(6_000)
    expect(await outcome).toMatchObject([
      { status: 'rejected', reason: failed },
      { status: 'rejected', reason: { message: 'The connection still runs a query that timed out' } },
    ])
    expect(sent).not.toContain('select 2')
    expect(released).toHaveLength(before)
    end('stuck')
    await vi.advanceTimersByTimeAsync(0)
    expect(released).toHaveLength(before + 1)
  })

  it('closes a stream whose chunk comes before the cancellation is sent', async () => {
    const { db, sent, end, exhaust } = openStuck()
    const send = exhaust()
    const next = db.getExecutor().stream(sql`stuck`.compile(db), 1).next()
    const outcome = next.catch((error) => error)
    await vi.advanceTimersByTimeAsync(301)
    end('stuck')
    await vi.advanceTimersByTimeAsync(1)
    send()
    expect(await outcome).toMatchObject(failed)
    expect(sent).toEqual(['stuck', 'close the stream', 'select 1'])
  })

  it('fails at once on a driver that cannot cancel, and says so', async () => {
    const onWarn = vi.fn()
    const { db, sent, released, end } = openStuck({ canCancel: false, onWarn })
    const outcome = sql`stuck`.execute(db).catch((error) => error)
    await vi.advanceTimersByTimeAsync(301)
    expect(await outcome).toMatchObject(failed)
    expect(sent).toEqual(['select 1', 'stuck'])
    expect(onWarn.mock.calls).toMatchObject([[{ code: 'TIMEOUT_NOT_CANCELLED' }]])
    expect(released).toEqual([])
    end('stuck')
    await vi.advanceTimersByTimeAsync(0)
    expect(released).toHaveLength(1)
  })

  it('gives back no connection of such a driver in a transaction, and tells the error of the query that was too slow', async () => {
    const { db, sent, released, end } = openStuck({ canCancel: false, onWarn() {} })
    const outcome = db
      .transaction()
      .execute((trx) => sql`stuck`.execute(trx))
      .catch((error) => error)
    while (!sent.includes('stuck')) await vi.advanceTimersByTimeAsync(0)
    await vi.advanceTimersByTimeAsync(301)
    const error = await outcome
    const before = [...sent, ...released]
    end('stuck')
    await vi.advanceTimersByTimeAsync(0)
    expect(error).toMatchObject(failed)
    expect(before).toEqual(['select 1', 'stuck'])
    expect([sent, released]).toEqual([['select 1', 'stuck', 'rollback'], ['released']])
  })

  it('invalidates what a write changes, through such a driver, also when the write has ended', async () => {
    const invalidates = { invalidateTags: vi.fn(async () => {}) }
    const { db, sent, end } = openStuck({ canCancel: false, invalidates, onWarn() {} })
    const write = db.deleteFrom('stuck' as never).execute()
    const outcome = write.catch((error) => error)
    const text = 'delete from "stuck"'
    while (!sent.includes(text)) await vi.advanceTimersByTimeAsync(0)
    await vi.advanceTimersByTimeAsync(301)
    expect(await outcome).toMatchObject(failed)
    expect(invalidates.invalidateTags.mock.calls).toEqual([['table:stuck']])
    end(text)
    await vi.advanceTimersByTimeAsync(0)
    expect(invalidates.invalidateTags.mock.calls).toEqual([['table:stuck'], ['table:stuck']])
  })

  it('does not stop the other callers of a connection that the driver shares among them', async () => {
    const { db, end } = openStuck({ canCancel: false, isShared: true, onWarn() {} })
    const outcome = sql`stuck`.execute(db).catch((error) => error)
    await vi.advanceTimersByTimeAsync(301)
    expect(await outcome).toMatchObject(failed)
    const slow = sql`update stuck`.execute(db)
    expect(await sql`select 2`.execute(db)).toEqual({ rows: [] })
    await vi.advanceTimersByTimeAsync(200)
    end('update stuck', { rows: [], numAffectedRows: 1n })
    expect(await slow).toEqual({ rows: [], numAffectedRows: 1n })
    end('stuck')
  })

  it('is closed only when no query of such a driver runs any more: the pool of postgres.js would never end', async () => {
    const { db, sent, end } = openStuck({ canCancel: false, onWarn() {} })
    const outcome = sql`stuck`.execute(db).catch((error) => error)
    await vi.advanceTimersByTimeAsync(301)
    expect(await outcome).toMatchObject(failed)
    const closed = db.destroy()
    await vi.advanceTimersByTimeAsync(10_000)
    expect(sent).not.toContain('close the pool')
    end('stuck')
    await closed
    expect(sent.at(-1)).toBe('close the pool')
  })

  it('is closed only when the plan of a slow query is there', async () => {
    const { db, sent, end } = openStuck({ slow: '0ms', explain: 'plan', indexAdvice: false })
    const query = db.selectFrom('stuck' as never).execute()
    await vi.advanceTimersByTimeAsync(0)
    end('select from "stuck"')
    await query
    await vi.advanceTimersByTimeAsync(0)
    const closed = db.destroy()
    await vi.advanceTimersByTimeAsync(0)
    expect(sent.at(-1)).toBe('explain select from "stuck"')
    end('explain select from "stuck"')
    await closed
    expect(sent.slice(-2)).toEqual(['rollback', 'close the pool'])
  })

  it('calls a write done that ended before the server could be asked, and cancels nothing after it', async () => {
    const { db, sent, exhaust, end } = openStuck()
    const write = sql`update stuck set a = 1`.execute(db)
    const read = sql`select stuck`.execute(db)
    read.catch(() => {})
    await vi.advanceTimersByTimeAsync(200)
    const refill = exhaust()
    await vi.advanceTimersByTimeAsync(100)
    end('update stuck set a = 1', { rows: [], numAffectedRows: 1n })
    end('select stuck')
    await expect(write).resolves.toEqual({ rows: [], numAffectedRows: 1n })
    await vi.advanceTimersByTimeAsync(0)
    refill()
    await expect(read).rejects.toMatchObject(failed)
    await vi.advanceTimersByTimeAsync(0)
    expect(cancellations(sent)).toEqual([])
  })

  it('waits as long as it is told, where a timer of Node would fire at once', async () => {
    const { db, sent, end } = openStuck({ timeout: '40d' })
    const outcome = sql`select stuck`.execute(db)
    outcome.catch(() => {})
    const dayMs = 24 * 60 * 60 * 1_000
    await vi.advanceTimersByTimeAsync(40 * dayMs - 1)
    expect(cancellations(sent)).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(cancellations(sent)).toEqual(['cancel'])
    end('select stuck')
    await expect(outcome).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
  })
})

it('refuses a timeout where the database runs queries on the thread that would have to cancel them', () => {
  const dialect = (createAdapter: Dialect['createAdapter'], compiler: QueryCompiler): Dialect => ({
    createAdapter,
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => compiler,
  })
  const sqlite = dialect(() => new SqliteAdapter(), new SqliteQueryCompiler())
  expect(() => instrument({ dialect: sqlite }, { timeout: '1s' })).toThrow('leave it out for SQLite')
  class SingleAdapter extends PostgresAdapter {
    override get supportsMultipleConnections() {
      return false
    }
  }
  const pglite = dialect(() => new SingleAdapter(), new PostgresQueryCompiler())
  expect(() => instrument({ dialect: pglite }, { timeout: '1s' })).toThrow('leave it out for PGlite')
})
