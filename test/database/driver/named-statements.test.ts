import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import { instrument } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
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
    expect(await names()).toEqual([{ name: 'posthaste_1' }])
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
    expect(await names()).toEqual([{ name: 'posthaste_1' }])
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

  it('keeps no more on the server than it may', async () => {
    const { db, table, names } = open(2)
    await create(db as never, table)
    for (const size of [1, 2, 3, 4, 5]) {
      const ids = Array.from({ length: size }, (_, id) => id)
      for (let run = 0; run < 3; run += 1) await db.selectFrom(table).selectAll().where('id', 'in', ids).execute()
    }
    expect((await names()).length).toBeLessThanOrEqual(3)
  })
})
