import { tracingChannel } from 'node:diagnostics_channel'
import fc from 'fast-check'
import { Kysely, MysqlDialect, sql } from 'kysely'
import { createConnection, createPool, type Pool, type PoolConnection } from 'mysql2'
import {
  type InstrumentOptions,
  instrument,
  type PoolStats,
  type PoolTuning,
  poolOptions,
  tuneMysqlPool,
  withQueryScope,
} from 'posthaste'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type ConnectionControl, requestConnection } from '../../../src/database/cancel/connection-control.ts'
import type { Server } from '../../support/servers.ts'
import { endlessQuery, numbersTo, ownMysqlServers } from '../support/mysql-servers.ts'
import { startSilentProxy } from '../support/silent-proxy.ts'
import { uncaughtDuring } from '../support/uncaught.ts'

describe.each(ownMysqlServers)('tuneMysqlPool on $server', ({ server: name, start, isMissing }) => {
  beforeEach(({ skip }) => skip(isMissing))

  let server: Server
  beforeAll(async () => {
    if (!isMissing) server = (await start()) as Server
  })
  afterAll(() => server?.stop())

  const kyselyOf = (pool: Pool & { stats(): PoolStats }) => {
    const db = new Kysely<Record<string, never>>(instrument({ dialect: new MysqlDialect({ pool }) }, { pool }))
    onTestFinished(() => db.destroy())
    return db
  }

  function connect({ max = 5, port = server.port, ...tuning }: PoolTuning & { max?: number; port?: number } = {}) {
    const pool = tuneMysqlPool(createPool({ host: '127.0.0.1', port, user: 'root', connectionLimit: max }), tuning)
    return { pool, db: kyselyOf(pool) }
  }

  async function kill(): Promise<void> {
    const control = createConnection({ host: '127.0.0.1', port: server.port, user: 'root' }).promise()
    const [rows] = await control.query(
      'select id from information_schema.processlist where id <> connection_id() and user = "root"',
    )
    for (const { id } of rows as { id: number }[]) await control.query(`kill ${id}`).catch(() => {})
    await control.end()
  }

  async function untilRuns(text: string): Promise<void> {
    const control = createConnection({ host: '127.0.0.1', port: server.port, user: 'root' }).promise()
    const find = 'select id from information_schema.processlist where info like ? and id <> connection_id()'
    const running = async () => ((await control.query(find, [`${text}%`]))[0] as unknown[]).length
    await expect.poll(running).toBe(1)
    await control.end()
  }

  it('replaces the connections of a server that has become read-only, once a write is refused', async () => {
    const admin = createConnection({ host: '127.0.0.1', port: server.port, user: 'root' }).promise()
    onTestFinished(() => admin.end())
    await admin.query('create database failover')
    await admin.query('create table failover.t (id int)')
    await admin.query('create user app@localhost')
    await admin.query('grant select, insert on failover.* to app@localhost')
    const options = { host: '127.0.0.1', port: server.port, user: 'app', database: 'failover', connectionLimit: 1 }
    const pool = tuneMysqlPool(createPool(options))
    const db = kyselyOf(pool)
    await sql`insert into t values (1)`.execute(db)
    await admin.query('set global read_only = 1')
    await expect(sql`insert into t values (2)`.execute(db)).rejects.toMatchObject({ errno: 1290 })
    await sql`select 1`.execute(db)
    expect(pool.stats().recycled).toBe(1)
    await sql`select 1`.execute(db)
    expect(pool.stats().recycled).toBe(1)
    await admin.query('set global read_only = 0')
    await sql`insert into t values (3)`.execute(db)
  })

  it('survives a connection that is killed inside a transaction, and serves the next request', async () => {
    const { pool, db } = connect()
    const uncaught = await uncaughtDuring(async () => {
      const transaction = db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        await kill()
        await new Promise((resolve) => setTimeout(resolve, 50))
        await sql`select 2`.execute(trx)
      })
      await expect(transaction).rejects.toThrow()
      expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
    })
    expect(uncaught).toEqual([])
    expect(pool.stats().inUse).toBe(0)
  })

  it('survives a server that is killed inside a transaction, and serves the first request after it is back', async () => {
    const { pool, db } = connect()
    const uncaught = await uncaughtDuring(async () => {
      // Connections that lie idle meanwhile are lost as well.
      await Promise.all([1, 2, 3].map(() => sql`select sleep(0.05)`.execute(db)))
      const lost = db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        await server.kill()
        await sql`select 2`.execute(trx)
      })
      await expect(lost).rejects.toThrow()
      await expect(sql`select 3`.execute(db)).rejects.toThrow(/ECONNREFUSED/)
      await server.restart()
      expect((await sql<{ four: number }>`select 4 as four`.execute(db)).rows).toEqual([{ four: 4 }])
    })
    expect(uncaught).toEqual([])
    expect(pool.stats()).toMatchObject({ inUse: 0, total: 1 })
  })

  it.each(['tuned', 'plain'] as const)(
    'fails a stream whose connection is lost, on a pool that is %s',
    async (kind) => {
      const pool = createPool({ host: '127.0.0.1', port: server.port, user: 'root', connectionLimit: 1 })
      const tuned = kind === 'tuned' ? tuneMysqlPool(pool, { prePing: false }) : undefined
      const options: InstrumentOptions = kind === 'tuned' ? {} : { timeout: '50s' }
      const db = new Kysely<Record<string, never>>(instrument({ dialect: new MysqlDialect({ pool }) }, options))
      onTestFinished(() => db.destroy())
      const readRow = (connection: Kysely<Record<string, never>>) =>
        connection.getExecutor().stream(endlessQuery.compile(connection), 1).next()
      const uncaught = await uncaughtDuring(async () => {
        await sql`select 1`.execute(db)
        const whileRead = readRow(db)
        const outcome = expect(whileRead).rejects.toMatchObject({ fatal: true })
        await untilRuns('select count(*) as n')
        await kill()
        await outcome
        const before = db.connection().execute(async (connection) => {
          await sql`select 1`.execute(connection)
          await kill()
          await new Promise((resolve) => setTimeout(resolve, 50))
          await readRow(connection)
        })
        await expect(before).rejects.toMatchObject({ fatal: true })
        await sql`select 1`.execute(db)
      })
      expect(uncaught).toEqual([])
      expect(tuned?.stats().inUse ?? 0).toBe(0)
    },
  )

  it('notices that connections went silent, and answers on a new one', async () => {
    const proxy = await startSilentProxy(server.port)
    onTestFinished(() => proxy.close())
    const { pool, db } = connect({ port: proxy.port, prePing: true, pingTimeout: '1s' })
    await Promise.all([1, 2, 3, 4].map(() => sql`select sleep(0.02)`.execute(db)))
    proxy.silence()
    const started = performance.now()
    await sql`select 1`.execute(db)
    expect(performance.now() - started).toBeLessThan(4_000)
    expect(pool.stats()).toMatchObject({ failedPings: 1, total: 1 })
  })

  it('gives whoever waits too long a clear error, where mysql2 would wait for ever', async () => {
    const { options, tuning } = poolOptions('mysql2', { poolSize: 1, maxOverflow: 1, poolTimeout: '300ms' })
    const pool = tuneMysqlPool(createPool({ host: '127.0.0.1', port: server.port, user: 'root', ...options }), tuning)
    const db = kyselyOf(pool)
    const request = (seconds: number) => withQueryScope('GET /slow', () => sql`select sleep(${seconds})`.execute(db))
    const holding = [request(1), request(1)]
    await expect(request(0)).rejects.toMatchObject({
      code: 'ERR_POOL_TIMEOUT',
      message: expect.stringMatching(/^No connection became free within 300 ms: 2 of 2 are in use/),
    })
    await Promise.all(holding)
    expect(pool.stats()).toMatchObject({ inUse: 0, waiting: 0, timeouts: 1 })
  })

  it('replaces connections that are too old', async () => {
    const { pool, db } = connect({ recycle: '800ms' })
    const id = async () => (await sql<{ id: number }>`select connection_id() as id`.execute(db)).rows[0]?.id
    const first = await id()
    expect(await id()).toBe(first)
    await new Promise((resolve) => setTimeout(resolve, 850))
    expect(await id()).not.toBe(first)
    expect(pool.stats()).toMatchObject({ recycled: 1, total: 1 })
  })

  it.each(['startup', 'set'] as const)('ends a statement that takes too long, via %s', async (timeoutVia) => {
    const { db } = connect({ max: 1, statementTimeout: '200ms', timeoutVia })
    await expect(endlessQuery.execute(db)).rejects.toMatchObject({ errno: name === 'mariadb' ? 1969 : 3024 })
    expect((await sql<{ one: number }>`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }])
  })

  it('ends such a statement also after the session was reset', async () => {
    const options = { host: '127.0.0.1', port: server.port, user: 'root', connectionLimit: 1, resetOnRelease: true }
    const db = kyselyOf(tuneMysqlPool(createPool(options), { statementTimeout: '200ms' }))
    for (let run = 0; run < 2; run += 1) {
      await expect(endlessQuery.execute(db)).rejects.toMatchObject({ errno: name === 'mariadb' ? 1969 : 3024 })
    }
  })

  it('replaces a connection whose ping fails', async () => {
    const { pool } = connect({ prePing: true })
    const next = () =>
      new Promise<PoolConnection>((resolve, reject) => {
        pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection)))
      })
    const first = await next()
    first.release()
    const { stream } = first as unknown as { readonly stream: { destroy(): void } }
    stream.destroy()
    const second = await next()
    expect(second).not.toBe(first)
    expect(pool.stats()).toMatchObject({ failedPings: 1, total: 1, inUse: 1 })
    second.release()
  })

  describe('cancels what a connection runs', () => {
    /** A connection, and the control that `instrument` gets with it. */
    async function take(port = server.port) {
      const { pool } = connect({ port, max: 1 })
      let control: ConnectionControl | undefined
      const connection = await new Promise<PoolConnection>((resolve, reject) => {
        const onControl = (received: ConnectionControl) => {
          control = received
        }
        requestConnection({ onControl }, () =>
          pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))),
        )
      })
      const run = (text: string) =>
        new Promise((resolve) => connection.query(text, (error, rows) => resolve(error ?? rows)))
      onTestFinished(() => connection.destroy())
      return { control: control as ConnectionControl, connection, run }
    }

    it('unless it ended while the request was on its way', async () => {
      const { control, run } = await take()
      const rows = run('select sleep(0.2) as slept')
      await control.cancel(() => false)
      expect(await rows).toEqual([{ slept: 0 }])
      const cancelled = run(`select seq, sleep(1) from ${numbersTo(9)}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
      await control.cancel(() => true)
      expect(await cancelled).toMatchObject({ errno: 1317 })
    })

    it('and says so when it cannot: the server has forgotten the connection, or takes no other', async () => {
      const { control, connection } = await take()
      const ended = new Promise((resolve) => connection.once('error', resolve))
      await kill()
      await ended
      await expect(control.cancel(() => true)).rejects.toMatchObject({ errno: 1094 })

      const proxy = await startSilentProxy(server.port)
      const other = await take(proxy.port)
      other.connection.on('error', () => {})
      await other.run('select 1')
      await proxy.close()
      await expect(other.control.cancel(() => true)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    })
  })

  it.each([
    ['', false],
    [', under tracing', true],
  ])('counts each use once when connections are closed while callers wait%s', async (_name, isTraced) => {
    const channel = tracingChannel('mysql2:pool:connect')
    const listeners = { start() {}, end() {}, asyncStart() {}, asyncEnd() {}, error() {} }
    if (isTraced) channel.subscribe(listeners)
    onTestFinished(() => void channel.unsubscribe(listeners))
    const step = fc.constantFrom('request', 'request', 'release', 'destroy', 'wait')
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25, size: 'max' }), async (steps) => {
        const options = { host: '127.0.0.1', port: server.port, user: 'root', connectionLimit: 2 }
        const pool = tuneMysqlPool(createPool(options), { acquireTimeout: '5s' })
        const held: PoolConnection[] = []
        let [requested, answered] = [0, 0]
        const request = () => {
          requested += 1
          pool.getConnection((error, connection) => {
            answered += 1
            if (error === null) held.push(connection)
          })
        }
        const end = (step: string) => {
          const connection = held.shift()
          if (step === 'destroy') connection?.destroy()
          else connection?.release()
        }
        for (const step of steps) {
          if (step === 'request') request()
          else if (step === 'wait')
            await expect.poll(() => held.length).toBe(Math.min(2, requested - answered + held.length))
          else end(step)
          expect(pool.stats().inUse).toBe(held.length)
        }
        while (answered < requested || held.length > 0) {
          end('destroy')
          await new Promise((resolve) => setTimeout(resolve, 1))
        }
        expect(pool.stats()).toMatchObject({ inUse: 0, waiting: 0, acquired: requested, timeouts: 0 })
        await pool.promise().end()
      }),
      { numRuns: 25 },
    )
  })

  it('warns of no leak when a caller has left before its turn', async () => {
    const codes: string[] = []
    const onWarn = ({ code }: { code: string }) => codes.push(code)
    const { pool } = connect({ max: 1, acquireTimeout: '500ms', leakAfter: '600ms', onWarn })
    const request = () => pool.promise().getConnection()
    const first = await new Promise<PoolConnection>((resolve) => {
      pool.getConnection((_error, connection) => resolve(connection))
    })
    await expect(request()).rejects.toMatchObject({ code: 'ERR_POOL_TIMEOUT' })
    first.destroy()
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(codes).toEqual([])
    expect(pool.stats()).toMatchObject({ inUse: 0, acquired: 1, leaks: 0 })
  })

  it('counts what it can of a pool that keeps its own counts to itself', async () => {
    const inner = createPool({ host: '127.0.0.1', port: server.port, user: 'root' })
    onTestFinished(() => new Promise<void>((resolve) => inner.end(() => resolve())))
    const pool = tuneMysqlPool({
      getConnection: (callback: Parameters<Pool['getConnection']>[0]) => inner.getConnection(callback),
      on: (event: 'connection', listener: () => void) => inner.on(event, listener),
    })
    const connection = await new Promise<PoolConnection>((resolve) => {
      pool.getConnection((_error, connection) => resolve(connection))
    })
    expect(pool.stats()).toMatchObject({ inUse: 1, acquired: 1, total: 0, idle: 0, max: 10 })
    connection.release()
    expect(pool.stats().inUse).toBe(0)
  })

  it('refuses the promise wrapper, which Kysely cannot use either', () => {
    const pool = createPool({ host: '127.0.0.1', port: server.port }).promise()
    expect(() => tuneMysqlPool(pool as never)).toThrow(TypeError)
  })
})
