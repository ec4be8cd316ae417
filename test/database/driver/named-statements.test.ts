import fc from 'fast-check'
import * as kysely from 'kysely'
import { type Dialect, Kysely, PostgresDialect, sql } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import pg from 'pg'
import postgres from 'postgres'
import { instrument } from 'posthaste'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { services } from '../../support/services.ts'

describe.skipIf(!services.postgres)('named statements on PostgreSQL', () => {
  function open(statementCache: number | false = 100) {
    const pool = new pg.Pool({ connectionString: services.postgres, max: 1 })
    const table = `named_${Math.random().toString(36).slice(2)}`
    const db = new Kysely<Record<string, { id: number; v: string }>>(
      instrument({ dialect: new PostgresDialect({ pool }) }, { statementCache }),
    )
    onTestFinished(async () => {
      await sql`drop table if exists ${sql.table(table)}`.execute(db)
      await db.destroy()
    })
    const names = async () =>
      (await sql<{ name: string }>`select name from pg_prepared_statements where name like 'posthaste%'`.execute(db))
        .rows
    const find = (id: number) => db.selectFrom(table).selectAll().where('id', '=', id).execute()
    return { db, table, names, find }
  }
  const create = (db: Kysely<never>, table: string) =>
    sql`create table ${sql.table(table)} as select 1 as id, 'a' as v`.execute(db)

  it('names a query from its second run on', async () => {
    const { db, table, names, find } = open()
    await create(db as never, table)
    await find(1)
    expect(await names()).toEqual([])
    expect(await find(1)).toEqual([{ id: 1, v: 'a' }])
    expect(await find(2)).toEqual([])
    expect(await names()).toEqual([{ name: expect.stringMatching(/^posthaste_/) }])
  })

  it('gives a query the same name on each connection, for tracers that name spans by it', async () => {
    const names: unknown[] = []
    class Client extends pg.Client {
      override query(...args: unknown[]): never {
        const [{ name } = {}] = args as { name?: string }[]
        if (name !== undefined) names.push(name)
        return super.query(...(args as [string])) as never
      }
    }
    const pool = new pg.Pool({ connectionString: services.postgres, max: 3, Client: Client as never })
    const db = new Kysely(instrument({ dialect: new PostgresDialect({ pool }) }, { statementCache: 2 }))
    onTestFinished(() => db.destroy())
    await Promise.all(
      [1, 2, 3].map(() =>
        db.connection().execute(async (connection) => {
          for (let run = 0; run < 3; run += 1) await sql`select ${run}::int, pg_sleep(0.01)`.execute(connection)
        }),
      ),
    )
    expect(names).toHaveLength(6)
    expect(new Set(names).size).toBe(1)
  })

  it('runs on when somebody else has closed its statements', async () => {
    const { db, table, find } = open()
    await create(db as never, table)
    for (const id of [1, 1, 1]) await find(id)
    await sql`deallocate all`.execute(db)
    for (const id of [1, 1, 1]) expect(await find(id)).toEqual([{ id: 1, v: 'a' }])
  })

  it('names nothing unless asked', async () => {
    const { db, table, names, find } = open(false)
    await create(db as never, table)
    for (const id of [1, 2, 3]) await find(id)
    expect(await names()).toEqual([])
  })

  it('runs on when a table has changed under a prepared statement', async () => {
    const { db, table, find } = open()
    await create(db as never, table)
    for (const id of [1, 1, 1]) await find(id)
    await sql`alter table ${sql.table(table)} add column extra int`.execute(db)
    expect(await find(1)).toEqual([{ id: 1, v: 'a', extra: null }])
    expect(await find(1)).toEqual([{ id: 1, v: 'a', extra: null }])
  })

  it('passes the errors of a named query on, and runs it again', async () => {
    const { db, names } = open()
    const divide = (by: number) => sql<{ r: number }>`select 10 / ${by}::int as r`.execute(db)
    for (const by of [1, 2, 5]) await divide(by)
    await expect(divide(0)).rejects.toMatchObject({ code: '22012' })
    expect((await divide(5)).rows).toEqual([{ r: 2 }])
    expect(await names()).toEqual([{ name: expect.stringMatching(/^posthaste_/) }])
  })

  it.each<[what: string, before: string, after: readonly string[], value: string]>([
    [
      'an enum without one of its labels',
      '$_mood',
      [
        'alter type $_mood rename to $_mood_old',
        "create type $_mood as enum ('sad')",
        'alter table $ alter v type $_mood using v::text::$_mood',
        'drop type $_mood_old',
      ],
      'sad',
    ],
    ['a text', 'int', ['alter table $ alter v type text'], '1'],
    ['a number', 'text', ['alter table $ alter v type int using v::int'], '1'],
    ['a larger number', 'int', ['alter table $ alter v type bigint', 'update $ set v = 3000000000'], '3000000000'],
  ])('runs on when a migration has made %s of a column that is compared', async (_what, type, migration, value) => {
    const { db, table, names } = open()
    const run = (text: string) => sql.raw(text.replaceAll('$', table)).execute(db)
    await run("create type $_mood as enum ('sad', 'happy')")
    onTestFinished(async () => void (await run('drop type $_mood cascade')))
    const first = value === '3000000000' ? '1' : value
    await run(`create table $ as select 1 as id, '${first}'::${type} as v`)
    const find = (v: string, on = db) => on.selectFrom(table).select('id').where('v', '=', v).execute()
    const update = (v: string) => db.updateTable(table).set({ v }).where('id', '=', 1).execute()
    for (let times = 0; times < 3; times += 1) {
      expect(await find(first)).toHaveLength(1)
      await update(first)
    }
    for (const statement of migration) await run(statement)
    for (let times = 0; times < 3; times += 1) {
      expect(await find(value)).toEqual([{ id: 1 }])
      await update(value)
    }
    expect(await db.transaction().execute((trx) => find(value, trx))).toEqual([{ id: 1 }])
    expect(await names()).not.toEqual([])
  })

  it('keeps the name of a query whose value is at fault', async () => {
    const { db, table, names, find } = open()
    await create(db as never, table)
    for (const id of [1, 1, 1]) await find(id)
    const before = await names()
    await expect(find('one' as never)).rejects.toMatchObject({ code: '22P02' })
    expect(await names()).toEqual(before)
  })

  it('passes that error on inside a transaction, which it has ended, and works in the next one', async () => {
    const { db, table, find } = open()
    await create(db as never, table)
    for (const id of [1, 1, 1]) await find(id)
    await sql`alter table ${sql.table(table)} add column extra int`.execute(db)
    const run = () => db.transaction().execute((trx) => trx.selectFrom(table).selectAll().where('id', '=', 1).execute())
    await expect(run()).rejects.toMatchObject({ code: '0A000' })
    expect(await run()).toHaveLength(1)
  })

  it.each([
    ['outside of transactions', false],
    ['by a connection that runs nothing but transactions', true],
  ])('keeps no more on the server than it may, %s', async (_where, inTransaction) => {
    const { db, table, names } = open(2)
    await create(db as never, table)
    for (const size of [1, 2, 3, 4, 5]) {
      const ids = Array.from({ length: size }, (_, id) => id)
      const find = (on = db) => on.selectFrom(table).selectAll().where('id', 'in', ids).execute()
      for (let run = 0; run < 3; run += 1) await (inTransaction ? db.transaction().execute(find) : find())
    }
    expect((await names()).length).toBeLessThanOrEqual(3)
  })

  it('stops naming further queries, because `pg` keeps every name until its connection closes', async () => {
    const pool = new pg.Pool({ connectionString: services.postgres, max: 1 })
    const db = new Kysely(instrument({ dialect: new PostgresDialect({ pool }) }, { statementCache: 2 }))
    onTestFinished(() => db.destroy())
    for (let size = 1; size <= 100; size += 1) {
      const list = sql.join(Array.from({ length: size }, (_, id) => id))
      for (let run = 0; run < 3; run += 1) await sql`select 1 where 1 in (${list})`.execute(db)
    }
    const client = await pool.connect()
    const { parsedStatements } = (client as unknown as { connection: { parsedStatements: object } }).connection
    client.release()
    expect(Object.keys(parsedStatements).length).toBeGreaterThan(2)
    expect(Object.keys(parsedStatements).length).toBeLessThanOrEqual(22)
  })

  it('names the statements of each Kysely on one pool apart, and closes only its own', async () => {
    const pool = new pg.Pool({ connectionString: services.postgres, max: 1 })
    const open = () => new Kysely(instrument({ dialect: new PostgresDialect({ pool }) }, { statementCache: 2 }))
    const dbs = [open(), open(), open()]
    onTestFinished(() => pool.end())
    const run = fc.record({
      db: fc.nat({ max: 2 }),
      columns: fc.integer({ min: 1, max: 4 }),
      inTransaction: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(run, { maxLength: 40 }), async (runs) => {
        for (const [index, { db, columns, inTransaction }] of runs.entries()) {
          const names = Array.from({ length: columns }, (_, column) => `c${column}`)
          const list = sql.join(names.map((name) => sql`${index}::int as ${sql.ref(name)}`))
          const execute = async (on: Kysely<unknown>) => (await sql`select ${list}`.execute(on)).rows
          const on = dbs[db] as Kysely<unknown>
          const rows = inTransaction ? await on.transaction().execute(execute) : await execute(on)
          expect(rows).toEqual([Object.fromEntries(names.map((name) => [name, index]))])
        }
      }),
      { numRuns: 30 },
    )
  })

  it('does not end a transaction by closing a statement that could not be prepared', async () => {
    const { db } = open(1)
    const missing = () => sql`select ${1} from nowhere_at_all`.execute(db)
    for (let run = 0; run < 2; run += 1) await expect(missing()).rejects.toMatchObject({ code: '42P01' })
    const rows = await db.transaction().execute(async (trx) => {
      const one = async () => (await sql`select ${1}::int as one`.execute(trx)).rows
      return [await one(), await one(), await one()]
    })
    expect(rows).toEqual([1, 2, 3].map(() => [{ one: 1 }]))
  })
})

describe('statementCache where the driver cannot name statements', () => {
  it.skipIf(!('PGliteDialect' in kysely))('is refused on PGlite', () => {
    const { PGliteDialect } = kysely as unknown as { PGliteDialect: new (config: object) => Dialect }
    expect(() => instrument({ dialect: new PGliteDialect({ pglite: {} }) }, { statementCache: 10 })).toThrow(
      /`statementCache` .* PGlite/,
    )
  })

  it.skipIf(!services.postgres)('is left out on postgres.js, with a warning', async () => {
    const client = postgres(services.postgres as string, { max: 1 })
    const onWarn = vi.fn()
    const db = new Kysely(
      instrument({ dialect: new PostgresJSDialect({ postgres: client }) }, { statementCache: 10, onWarn }),
    )
    onTestFinished(() => db.destroy())
    for (const value of [1, 2, 3]) {
      expect((await sql`select ${value}::int as value`.execute(db)).rows).toMatchObject([{ value }])
    }
    expect(onWarn).toHaveBeenCalledExactlyOnceWith(expect.objectContaining({ code: 'STATEMENT_CACHE_UNREACHABLE' }))
  })
})
