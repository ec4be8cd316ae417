import { createServer, type Socket } from 'node:net'
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import {
  type InstrumentOptions,
  instrument,
  type PoolTuning,
  poolOptions,
  queryReport,
  retryTransaction,
  tunePgPool,
  withQueryScope,
} from 'posthaste'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { findBinary, type Server, startPostgres } from '../../support/servers.ts'
import { startSilentProxy } from '../support/silent-proxy.ts'
import { uncaughtDuring } from '../support/uncaught.ts'

/** Waits for the server before it closes, as `pg-cursor` does. */
class OneReadCursor {
  readonly #sql: string
  readonly #rows = Promise.withResolvers<never[]>()
  #connection: pg.Connection | undefined

  constructor(sql: string) {
    this.#sql = sql
  }

  submit(connection: pg.Connection): void {
    this.#connection = connection
    connection.query(this.#sql)
  }

  read(): Promise<never[]> {
    return this.#rows.promise
  }

  handleRowDescription(): void {}

  handleError(error: Error): void {
    this.#rows.reject(error)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#connection?.once('readyForQuery', resolve))
  }
}

/** Forgets what is read when the server has sent the last row, as `pg-cursor` does. */
class ForgetfulCursor extends OneReadCursor {
  override handleError(): void {}
}

describe.skipIf(findBinary('initdb') === undefined)('tunePgPool', () => {
  let server: Server
  beforeAll(async () => {
    server = (await startPostgres()) as Server
  })
  afterAll(() => server?.stop())

  function connect({ max = 5, url = server.url, ...tuning }: PoolTuning & { max?: number; url?: string } = {}) {
    const pool = tunePgPool(new pg.Pool({ connectionString: url, max }), tuning)
    const db = new Kysely<Record<string, never>>(instrument({ dialect: new PostgresDialect({ pool }) }, { pool }))
    onTestFinished(() => db.destroy())
    return { pool, db }
  }

  /** Ends the sessions whose last query begins so, and returns how many they were. */
  async function kill(query = ''): Promise<number> {
    const client = new pg.Client(server.url)
    client.on('error', () => {})
    await client.connect()
    const { rows } = await client.query(
      `select pg_terminate_backend(pid) from pg_stat_activity
        where pid <> pg_backend_pid() and datname is not null and starts_with(query, $1)`,
      [query],
    )
    await client.end()
    return rows.length
  }

  it('replaces the sessions of a server that has become read-only, once a write is refused', async () => {
    const admin = new pg.Client(server.url)
    await admin.connect()
    onTestFinished(() => admin.end())
    const name = new URL(server.url).pathname.slice(1)
    // Sessions keep what they began with, as those of a server that was demoted do.
    await admin.query(`create table failover (id int); alter database ${name} set default_transaction_read_only = on`)
    const { pool, db } = connect({ max: 3 })
    await Promise.all([1, 2, 3].map(() => sql`select pg_sleep(0.1)`.execute(db)))
    await admin.query(`alter database ${name} reset default_transaction_read_only`)
    expect(pool.stats().total).toBe(3)
    await expect(sql`insert into failover values (1)`.execute(db)).rejects.toMatchObject({ code: '25006' })
    await Promise.all([1, 2, 3, 4].map((id) => sql`insert into failover values (${id})`.execute(db)))
    expect(pool.stats()).toMatchObject({ recycled: 3, inUse: 0 })
    // A transaction that is read-only on purpose costs a question to each session, and no session.
    const refused = db
      .transaction()
      .setAccessMode('read only')
      .execute((trx) => sql`delete from failover`.execute(trx))
    await expect(refused).rejects.toMatchObject({ code: '25006' })
    await sql`delete from failover`.execute(db)
    expect(pool.stats().recycled).toBe(3)
  })

  it('says how many connections its callers call for', async () => {
    const { db } = connect({ max: 1 })
    await Promise.all(Array.from({ length: 12 }, () => sql`select pg_sleep(0.01)`.execute(db)))
    const { pool, poolAdvice } = queryReport(db)
    expect(pool?.demand).toMatchObject({ requests: 12 })
    expect(pool?.demand?.holdMs).toBeGreaterThan(9)
    expect(pool?.demand?.waitMs).toBeGreaterThan(9)
    expect(poolAdvice).toMatch(/^In the busiest minute .* the pool has 1/)
  })

  it.each([
    { kind: 'tuned', cursor: OneReadCursor },
    { kind: 'plain', cursor: OneReadCursor },
    { kind: 'tuned', cursor: ForgetfulCursor },
  ] as const)(
    'fails a stream whose connection is lost, on a pool that is $kind ($cursor.name)',
    async ({ kind, cursor }) => {
      const pool = new pg.Pool({ connectionString: server.url, max: 1 })
      if (kind === 'tuned') tunePgPool(pool)
      else pool.on('connect', (client) => void client.on('error', () => {})).on('error', () => {})
      const options: InstrumentOptions = kind === 'tuned' ? {} : { timeout: '50s' }
      const dialect = new PostgresDialect({ pool, cursor: cursor as never })
      const db = new Kysely<Record<string, never>>(instrument({ dialect }, options))
      onTestFinished(() => db.destroy())
      const uncaught = await uncaughtDuring(async () => {
        const row = db.getExecutor().stream(sql`select pg_sleep(50)`.compile(db), 1).next()
        const outcome = expect(row).rejects.toThrow(/terminat/)
        await expect.poll(() => kill('select pg_sleep(50)')).toBe(1)
        await outcome
      })
      expect(uncaught).toEqual([])
      expect(pool.totalCount - pool.idleCount).toBe(0)
    },
  )

  it('survives a backend that is terminated inside a transaction, and serves the next request', async () => {
    const { pool, db } = connect()
    let failure: unknown
    const uncaught = await uncaughtDuring(async () => {
      const transaction = db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        await kill()
        await new Promise((resolve) => setTimeout(resolve, 50))
        await sql`select 2`.execute(trx)
      })
      failure = await transaction.catch((error) => error)
    })
    expect(failure).toBeInstanceOf(Error)
    expect(uncaught).toEqual([])
    expect(pool.stats().lostInUse).toBeGreaterThan(0)
    expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    expect(pool.stats().inUse).toBe(0)
  })

  it('needs the tuning for that: plain pg throws past everybody', async () => {
    const pool = new pg.Pool({ connectionString: server.url })
    pool.on('error', () => {})
    const db = new Kysely<Record<string, never>>({ dialect: new PostgresDialect({ pool }) })
    const uncaught = await uncaughtDuring(async () => {
      await db
        .transaction()
        .execute(async (trx) => {
          await sql`select 1`.execute(trx)
          await kill()
          await new Promise((resolve) => setTimeout(resolve, 50))
          await sql`select 2`.execute(trx)
        })
        .catch(() => {})
    })
    expect(uncaught.length).toBeGreaterThan(0)
    await db.destroy()
  })

  it('survives idle connections that are terminated', async () => {
    const { db } = connect()
    const uncaught = await uncaughtDuring(async () => {
      await Promise.all([1, 2, 3].map(() => sql`select pg_sleep(0.01)`.execute(db)))
      await kill()
    })
    expect(uncaught).toEqual([])
    await sql`select 1`.execute(db)
  })

  it('survives a server that is shut down at once inside a transaction, and serves the first request after it is back', async () => {
    const { pool, db } = connect({ acquireTimeout: '5s' })
    const uncaught = await uncaughtDuring(async () => {
      // Connections that lie idle meanwhile are lost as well.
      await Promise.all([1, 2, 3].map(() => sql`select pg_sleep(0.05)`.execute(db)))
      const lost = db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        // What `pg_ctl stop -m immediate` sends.
        await server.kill('SIGQUIT')
        await sql`select 2`.execute(trx)
      })
      await expect(lost).rejects.toThrow()
      // On a busy machine it may be the first to notice that an idle connection is lost.
      await expect(sql`select 3`.execute(db)).rejects.toThrow(/ECONNREFUSED|Connection terminated/)
      await server.restart()
      expect((await sql<{ four: number }>`select 4 as four`.execute(db)).rows).toEqual([{ four: 4 }])
    })
    expect(uncaught).toEqual([])
    expect(pool.stats()).toMatchObject({ inUse: 0, total: 1 })
  })

  it('notices that connections went silent, and answers on a new one', async () => {
    const proxy = await startSilentProxy(server.port)
    onTestFinished(() => proxy.close())
    const url = server.url.replace(String(server.port), String(proxy.port))
    const { pool, db } = connect({ url, prePing: true, pingTimeout: '1s' })
    await Promise.all([1, 2, 3, 4].map(() => sql`select pg_sleep(0.02)`.execute(db)))
    expect(pool.stats().idle).toBe(4)
    proxy.silence()
    const started = performance.now()
    await sql`select 1`.execute(db)
    expect(performance.now() - started).toBeLessThan(4_000)
    // One ping that got no answer speaks for all the connections that were idle as long.
    expect(pool.stats()).toMatchObject({ failedPings: 1, total: 1 })
  })

  it('opens another connection when one went silent while its query ran into `timeout`', async () => {
    const proxy = await startSilentProxy(server.port)
    onTestFinished(() => proxy.close())
    const url = server.url.replace(String(server.port), String(proxy.port))
    const pool = tunePgPool(new pg.Pool({ connectionString: url, max: 1 }))
    const dialect = new PostgresDialect({ pool })
    const db = new Kysely<Record<string, never>>(instrument({ dialect }, { timeout: '300ms' }))
    onTestFinished(() => db.destroy())
    const uncaught = await uncaughtDuring(async () => {
      // Silent while it connects, it would be given up at the acquire timeout only.
      await sql`select 0`.execute(db)
      const query = sql`select pg_sleep(0.2)`.execute(db)
      await new Promise((resolve) => setTimeout(resolve, 50))
      proxy.silence()
      await expect(query).rejects.toMatchObject({ code: 'ERR_QUERY_TIMEOUT' })
      expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    })
    expect(uncaught).toEqual([])
    expect(pool.stats()).toMatchObject({ inUse: 0, total: 1 })
  })

  it('gives the 101st request a clear error at the acquire timeout, and all the others their connection', async () => {
    const { options, tuning } = poolOptions('pg', { poolSize: 10, maxOverflow: 20, poolTimeout: '6s' })
    const pool = tunePgPool(new pg.Pool({ connectionString: server.url, ...options }), tuning)
    const db = new Kysely<Record<string, never>>(instrument({ dialect: new PostgresDialect({ pool }) }, { pool }))
    onTestFinished(() => db.destroy())
    const request = (number: number, seconds: number) =>
      withQueryScope(`GET /${number}`, () => sql`select pg_sleep(${seconds})`.execute(db))
    const hundred = Array.from({ length: 100 }, (_, number) => request(number, 0.1))
    expect(await Promise.allSettled(hundred)).toEqual(Array(100).fill(expect.objectContaining({ status: 'fulfilled' })))
    expect(pool.stats().total).toBe(30)
    const holding = Array.from({ length: 30 }, (_, number) => request(number, 60).catch(() => {}))
    const started = performance.now()
    const error = await request(100, 0).catch((error) => error)
    expect(performance.now() - started).toBeLessThan(8_000)
    expect(error).toMatchObject({ code: 'ERR_POOL_TIMEOUT' })
    expect(error.message).toMatch(
      /^No connection became free within 6000 ms: 30 of 30 are in use and 1 callers wait\. Held longest: GET \/\d+ for \d\.\d s; /,
    )
    expect(error.holders).toHaveLength(30)
    await kill()
    await Promise.all(holding)
    expect(pool.stats()).toMatchObject({ inUse: 0, waiting: 0, timeouts: 1 })
  })

  it('gives its connection to the next caller after thousands who gave up while it was in use', async () => {
    const { pool } = connect({ max: 1, acquireTimeout: '500ms' })
    const held = await pool.connect()
    const waiting = Array.from({ length: 5_000 }, () => pool.connect().catch(({ code }) => code))
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['ERR_POOL_TIMEOUT']))

    const asked = pool.query('select 1 as one')
    held.release()

    expect((await asked).rows).toEqual([{ one: 1 }])
    expect(pool.stats()).toMatchObject({ total: 1, inUse: 0, waiting: 0, timeouts: 5_000 })
  })

  it('tells those that wait for a connection at once that the pool has ended', async () => {
    const { pool } = connect({ max: 1, acquireTimeout: '1h' })
    const held = await pool.connect()
    const waiting = [pool.connect(), pool.query('select 1')].map((asked) => asked.catch(({ message }) => message))

    const ended = pool.end()

    expect(await Promise.all(waiting)).toEqual(Array(2).fill('Cannot use a pool after calling end on the pool'))
    expect(pool.stats()).toMatchObject({ inUse: 1, waiting: 0 })
    held.release()
    await ended
  })

  it('says so when nobody holds a connection: the server accepts, and then says nothing', async () => {
    const sockets = new Set<Socket>()
    const silent = createServer((socket) => void sockets.add(socket))
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    const pool = tunePgPool(new pg.Pool({ host: '127.0.0.1', port, max: 3 }), { acquireTimeout: '100ms' })
    await expect(pool.connect()).rejects.toMatchObject({
      message: 'No connection became free within 100 ms: 0 of 3 are in use and 1 callers wait',
      holders: [],
    })
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => silent.close(resolve))
  })

  it('names the lines that hold connections, where it looks for leaks, and whoever has no name', async () => {
    const { pool } = connect({ max: 1, acquireTimeout: '500ms', leakAfter: '5s' })
    const client = await pool.connect()
    const error = await pool.connect().catch((error) => error)
    client.release()
    expect(error.message).toMatch(/Held longest: somebody at .*pg-pool\.test\.ts:\d+:\d+\)? for 0\.\d s$/)
    expect(error.holders).toEqual([
      { heldMs: expect.any(Number), callSite: expect.stringContaining('pg-pool.test.ts') },
    ])
  })

  it('leaves a caller alone who gave up while the connection was being pinged', async () => {
    const proxy = await startSilentProxy(server.port)
    onTestFinished(() => proxy.close())
    const url = server.url.replace(String(server.port), String(proxy.port))
    const { pool, db } = connect({ url, prePing: true, pingTimeout: '600ms', acquireTimeout: '300ms' })
    await sql`select 1`.execute(db)
    proxy.silence()
    await expect(pool.connect()).rejects.toMatchObject({ code: 'ERR_POOL_TIMEOUT' })
    await expect.poll(() => pool.stats().failedPings).toBe(1)
    expect(pool.stats()).toMatchObject({ acquired: 1, timeouts: 1, total: 0, inUse: 0, waiting: 0 })
  })

  it('takes connections as well that the pool had before it was tuned', async () => {
    const plain = new pg.Pool({ connectionString: server.url, max: 1 })
    const pid = async () => (await plain.query('select pg_backend_pid() as pid')).rows[0].pid
    const first = await pid()
    const pool = tunePgPool(plain, { recycle: '1h' })
    expect([await pid(), await pid()]).toEqual([first, first])
    expect(pool.stats()).toMatchObject({ acquired: 2, inUse: 0, total: 1, recycled: 0 })
    await pool.end()
  })

  it('says so when the request that waits holds a transaction itself', async () => {
    const { db } = connect({ max: 1, acquireTimeout: '2s' })
    await sql`select 0`.execute(db)
    const deadlock = withQueryScope('POST /orders', () =>
      db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        await sql`select 2`.execute(db)
      }),
    )
    await expect(deadlock).rejects.toThrow(/POST \/orders holds one itself: a query on `db` inside a transaction/)
  })

  it('replaces connections that are too old', async () => {
    const { pool, db } = connect({ recycle: '800ms' })
    const pid = async () => (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(db)).rows[0]?.pid
    const first = await pid()
    expect(await pid()).toBe(first)
    await new Promise((resolve) => setTimeout(resolve, 850))
    expect(await pid()).not.toBe(first)
    expect(pool.stats().recycled).toBe(1)
  })

  it('warns of a connection that is not given back, with the line that took it', async () => {
    const warnings: string[] = []
    const { pool } = connect({ leakAfter: '30ms', onWarn: ({ message }) => warnings.push(message) })
    const client = await withQueryScope('job', () => pool.connect())
    await new Promise((resolve) => setTimeout(resolve, 80))
    client.release()
    expect(warnings).toEqual([
      expect.stringMatching(/^A connection has not been given back: job at .*pg-pool\.test\.ts:/),
    ])
    expect(pool.stats().leaks).toBe(1)
  })

  it.each(['startup', 'set'] as const)('ends a statement that takes too long, via %s', async (timeoutVia) => {
    const { pool, db } = connect({ max: 1, statementTimeout: '100ms', timeoutVia })
    await expect(sql`select pg_sleep(5)`.execute(db)).rejects.toMatchObject({ code: '57014' })
    expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    expect(pool.stats().total).toBe(1)
  })

  it.each(['startup', 'set'] as const)(
    'shortens a limit that PostgreSQL would refuse to the longest it takes, via %s',
    async (timeoutVia) => {
      const { db } = connect({ max: 1, statementTimeout: '40d', timeoutVia })
      expect((await sql`show statement_timeout`.execute(db)).rows).toEqual([{ statement_timeout: '2147483647ms' }])
    },
  )

  it('pings only what was idle', async () => {
    const { pool, db } = connect()
    for (let query = 0; query < 20; query += 1) await sql`select 1`.execute(db)
    expect(pool.stats().pings).toBe(0)
    expect(queryReport(db).pool).toEqual(pool.stats())
    await new Promise((resolve) => setTimeout(resolve, 1_050))
    await sql`select 1`.execute(db)
    expect(pool.stats().pings).toBe(1)
  })

  it('keeps working through callbacks and `pool.query`', async () => {
    const { pool } = connect()
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }])
    const rows = await new Promise((resolve, reject) => {
      pool.connect((error, client, release) => {
        if (error !== undefined || client === undefined) return reject(error)
        void client.query('select 2 as two').then(({ rows }) => {
          release()
          resolve(rows)
        }, reject)
      })
    })
    expect(rows).toEqual([{ two: 2 }])
    expect(pool.stats()).toMatchObject({ acquired: 2, inUse: 0 })
  })

  it('retries a transaction whose connection was lost before COMMIT', async () => {
    const { db } = connect()
    await sql`create table if not exists written (id int)`.execute(db)
    const uncaught = await uncaughtDuring(async () => {
      await retryTransaction(
        db,
        async (trx, attempt) => {
          await sql`insert into written values (${attempt})`.execute(trx)
          if (attempt === 1) await kill()
          await sql`select 1`.execute(trx)
        },
        { minDelay: '1ms' },
      )
    })
    expect(uncaught).toEqual([])
    expect((await sql`select id from written`.execute(db)).rows).toEqual([{ id: 2 }])
  })
})
