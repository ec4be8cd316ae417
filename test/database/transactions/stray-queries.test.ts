import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresDialect,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely'
import pg from 'pg'
import { instrument, queryReport, type Warning, withQueryScope } from 'posthaste'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'
import { openSqlite } from '../support/sqlite.ts'

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
        shape: 'select ? as forgotten',
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
    expect(found.at(-1)?.shape).toBe('select ? as n99')
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
        { shape: 'select ? as forgotten', count: 0, scope: 'POST /orders', callSite: undefined },
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
      expect((await warned.promise).message).toMatch(/ waits for another connection at .*stray-queries\.test\.ts:/)
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
        /^POST \/orders holds a transaction and waits for another connection at .*stray-queries\.test\.ts:\d+:\d+\)?: a query on `db` inside a transaction, where `trx` was meant\?$/,
      ),
    })
    expect(queryReport(db).outsideTransaction).toMatchObject([
      { shape: 'select ? as forgotten', count: 0, scope: 'POST /orders', callSite: { file: import.meta.filename } },
    ])
    const forgotten = await waiting
    expect((await forgotten()).rows).toEqual([{ forgotten: 2 }])
    await other
  })
})
