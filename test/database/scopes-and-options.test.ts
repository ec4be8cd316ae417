import {
  type DatabaseConnection,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  sql,
} from 'kysely'
import pg from 'pg'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { openQueryScope } from '../../src/database/query-scope.ts'
import {
  instrument,
  poolOptions,
  queryReport,
  settingsFromEnv,
  tunePgPool,
  type Warning,
  withQueryScope,
} from '../../src/index.ts'
import { services } from '../support/services.ts'
import { openSqlite } from './support/sqlite.ts'

describe('poolOptions', () => {
  it('means the same in all three drivers', () => {
    const settings = { poolSize: 3, maxOverflow: 4, poolTimeout: '5s', poolRecycle: '30m', poolPrePing: true } as const
    expect(poolOptions('pg', settings)).toEqual({
      options: { max: 7, min: 3, idleTimeoutMillis: 10_000, connectionTimeoutMillis: 6_000, keepAlive: true },
      tuning: { prePing: 'idle', acquireTimeout: '5s', recycle: '30m' },
    })
    expect(poolOptions('mysql2', settings).options).toMatchObject({
      connectionLimit: 7,
      maxIdle: 3,
      connectTimeout: 5_000,
    })
    expect(poolOptions('tarn', settings)).toMatchObject({
      options: { max: 7, min: 3, acquireTimeoutMillis: 5_000 },
    })
    // It has no place for an age.
    expect(poolOptions('tarn', settings).tuning).toEqual({ prePing: 'idle', acquireTimeout: '5s' })
  })

  it('has the defaults of the document, and takes the environment', () => {
    expect(poolOptions('pg').options).toMatchObject({ max: 30, min: 10 })
    expect(poolOptions('pg').tuning).toEqual({ prePing: 'idle', acquireTimeout: '30s', recycle: '1h' })
    const { pool } = settingsFromEnv({
      DB_POOL_SIZE: '2',
      DB_MAX_OVERFLOW: '0',
      DB_POOL_RECYCLE: '60',
      DB_POOL_PRE_PING: 'no',
    })
    expect(poolOptions('pg', pool)).toMatchObject({ options: { max: 2 }, tuning: { prePing: false, recycle: '60s' } })
  })

  it.each([
    [{ poolSize: 0 }, 'Expected `poolSize` to be a whole number from 1 up, got `0` (number)'],
    [{ maxOverflow: -1 }, 'Expected `maxOverflow`'],
    [{ poolTimeout: 30 }, 'Expected `poolTimeout` to be a duration'],
    [{ poolRecycle: 3600 }, 'Expected `poolRecycle` to be a duration'],
    [{ poolPrePing: 'yes' }, 'Expected `poolPrePing` to be one of true, false'],
  ])('refuses %j', (settings, message) => {
    expect(() => poolOptions('pg', settings as never)).toThrow(message)
  })

  it('refuses a driver it does not know', () => {
    expect(() => poolOptions('oracle' as never)).toThrow("Expected `driver` to be one of 'pg', 'mysql2', 'tarn'")
  })
})

describe('tuning', () => {
  it.each([
    [{ prePing: 'always' }, 'Expected `prePing`'],
    [{ recycle: 5 }, 'Expected `recycle` to be a duration'],
    [{ acquireTimeout: 5 }, 'Expected `acquireTimeout`'],
    [{ leakAfter: '' }, 'Expected `leakAfter`'],
    [{ statementTimeout: 1 }, 'Expected `statementTimeout`'],
    [{ timeoutVia: 'hope' }, 'Expected `timeoutVia`'],
  ])('refuses %j', (tuning, message) => {
    expect(() => tunePgPool(new pg.Pool(), tuning as never)).toThrow(message)
  })
})

describe('query scopes', () => {
  it('of requests get their name when it is known, and end with the response', async () => {
    const scopes: (string | undefined)[] = []
    const db = openSqlite({ onQuery: ({ scope }) => scopes.push(scope) })
    let route = '(unmatched)'
    const scope = openQueryScope(() => `GET ${route}`)
    await scope.run(async () => {
      route = '/users/:id'
      await db.selectFrom('users').selectAll().execute()
    })
    scope.end()
    scope.end()
    expect(scopes).toEqual(['GET /users/:id'])
  })

  it('give back what the function gives, and throw what it throws', async () => {
    expect(withQueryScope('sync', () => 5)).toBe(5)
    expect(() =>
      withQueryScope('sync', () => {
        throw new Error('no')
      }),
    ).toThrow('no')
    await expect(withQueryScope('async', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(() => withQueryScope('bad', () => 1, { maxQueries: -1 })).toThrow('Expected `maxQueries`')
  })
})

describe('a query on `db` while its request holds a transaction', () => {
  it.skipIf(!services.postgres)('is in the report, with its line', async () => {
    const pool = new pg.Pool({ connectionString: services.postgres, max: 3 })
    const db = new Kysely<Record<string, never>>(instrument({ dialect: new PostgresDialect({ pool }) }))
    onTestFinished(() => db.destroy())
    await withQueryScope('POST /orders', () =>
      db.transaction().execute(async (trx) => {
        await sql`select 1`.execute(trx)
        await sql`select 2 as forgotten`.execute(db)
      }),
    )
    await withQueryScope('GET /orders', () => sql`select 3`.execute(db))
    expect(queryReport(db).outsideTransaction).toEqual([
      {
        shape: 'select 2 as forgotten',
        count: 1,
        scope: 'POST /orders',
        callSite: expect.objectContaining({ file: import.meta.filename }),
      },
    ])
  })

  it('is none when the transaction is that of another database', async () => {
    const [orders, users] = [openSqlite(), openSqlite()]
    await withQueryScope('POST /orders', () =>
      orders.transaction().execute(async (trx) => {
        await users.transaction().execute((other) => other.selectFrom('users').selectAll().execute())
        await users.selectFrom('users').selectAll().execute()
        await trx.deleteFrom('orders').execute()
      }),
    )
    expect(queryReport(orders).outsideTransaction).toEqual([])
    expect(queryReport(users).outsideTransaction).toEqual([])
  })

  it('is kept for a hundred shapes, and counted on for these', async () => {
    const db = new Kysely<Record<string, never>>(
      instrument({
        dialect: {
          createAdapter: () => new PostgresAdapter(),
          createDriver: () => new DummyDriver(),
          createIntrospector: (db) => new PostgresIntrospector(db),
          createQueryCompiler: () => new PostgresQueryCompiler(),
        },
      }),
    )
    await withQueryScope('POST /orders', async () => {
      // As a driver that sends no SQL for it begins a transaction.
      await db.transaction().execute(async () => {
        for (let number = 0; number < 101; number += 1) await sql.raw(`select ${number} as n${number}`).execute(db)
        await sql`select 0 as n0`.execute(db)
      })
    })
    const found = queryReport(db).outsideTransaction
    expect(found.map(({ count }) => count)).toEqual([2, ...Array(99).fill(1)])
    expect(found.at(-1)?.shape).toBe('select 99 as n99')
  })

  describe('that waits', () => {
    afterEach(() => vi.useRealTimers())

    it('is told without a line where none of the user’s code is on the stack', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      const warned = Promise.withResolvers<Warning>()
      const waits = Promise.withResolvers<void>()
      const db = openSqlite({ onWarn: warned.resolve })
      const query = sql`select 2 as forgotten`
      await withQueryScope('POST /orders', () =>
        db.transaction().execute(async () => {
          setImmediate(query.execute.bind(query, db))
          setImmediate(() => setImmediate(waits.resolve))
          await waits.promise
          vi.advanceTimersByTime(1_000)
          await warned.promise
        }),
      )
      expect((await warned.promise).message).toMatch(
        /^POST \/orders holds a transaction and waits for another connection: /,
      )
      expect(queryReport(db).outsideTransaction).toEqual([
        { shape: 'select 2 as forgotten', count: 0, scope: 'POST /orders', callSite: undefined },
      ])
    })

    it('is told of as a line alone when it is no query, but a connection that is wanted', async () => {
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
      const warned = Promise.withResolvers<Warning>()
      const db = openSqlite({ onWarn: warned.resolve })
      let second: Promise<string> | undefined
      await withQueryScope('POST /orders', () =>
        db.transaction().execute(async (trx) => {
          await trx.selectFrom('users').selectAll().execute()
          second = db.connection().execute(async () => 'connected')
          // Kysely asks for it a few turns later.
          await new Promise(setImmediate)
          vi.advanceTimersByTime(1_000)
          await warned.promise
        }),
      )
      expect((await warned.promise).message).toMatch(/ waits for another connection at .*scopes-and-options\.test\.ts:/)
      expect(queryReport(db).outsideTransaction).toEqual([])
      expect(await second).toBe('connected')
    })
  })

  it('is told when it waits for the only connection', async () => {
    const warned = Promise.withResolvers<Warning>()
    const db = openSqlite({ onWarn: warned.resolve })
    const waiting = withQueryScope('POST /orders', () =>
      db.transaction().execute(async () => {
        const forgotten = sql`select 2 as forgotten`.execute(db)
        // Without this both would wait for ever.
        await Promise.race([warned.promise, forgotten])
        return () => forgotten
      }),
    )
    // Another request has to wait as well, which is nothing to tell of.
    const other = withQueryScope('GET /orders', () => sql`select 3`.execute(db))
    expect(await warned.promise).toEqual({
      code: 'OUTSIDE_TRANSACTION',
      message: expect.stringMatching(
        /^POST \/orders holds a transaction and waits for another connection at .*scopes-and-options\.test\.ts:\d+:\d+\)?: a query on `db` inside a transaction, where `trx` was meant\?$/,
      ),
    })
    expect(queryReport(db).outsideTransaction).toMatchObject([
      { shape: 'select 2 as forgotten', count: 0, scope: 'POST /orders', callSite: { file: import.meta.filename } },
    ])
    const forgotten = await waiting
    expect((await forgotten()).rows).toEqual([{ forgotten: 2 }])
    await other
  })
})

describe('the queue for a single connection', () => {
  const open = (acquire: () => Promise<DatabaseConnection>) => {
    class Driver extends DummyDriver {
      override acquireConnection = acquire
    }
    const db = new Kysely<Record<string, never>>(
      instrument({
        dialect: {
          createAdapter: () => new SqliteAdapter(),
          createDriver: () => new Driver(),
          createIntrospector: (db) => new SqliteIntrospector(db),
          createQueryCompiler: () => new SqliteQueryCompiler(),
        },
      }),
    )
    return () => sql`select 1`.execute(db)
  }
  const connection = {
    executeQuery: async () => ({ rows: [] }),
    async *streamQuery() {},
  }

  it('goes on when the driver refuses one', async () => {
    let refusals = 2
    const query = open(async () => {
      if (refusals-- > 0) throw new Error('busy')
      return connection
    })
    const outcomes = await Promise.allSettled([query(), query(), query(), query()])
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled'])
    expect(await query()).toEqual({ rows: [] })
  })
})
