import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { cursorPaginate, expectSeek, nodeSqlite, readRows } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'

interface Tables {
  orders: { id: number; person_id: number }
  people: { id: number }
}

/** Six orders, whose people are numbered the other way round. */
async function open(): Promise<Kysely<Tables>> {
  const db = new Kysely<Tables>({
    dialect: new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }),
  })
  onTestFinished(() => db.destroy())
  await sql`create table people (id integer primary key)`.execute(db)
  await sql`create table orders (id integer primary key, person_id integer not null)`.execute(db)
  for (let id = 1; id <= 6; id++) {
    await db.insertInto('people').values({ id }).execute()
    await db
      .insertInto('orders')
      .values({ id, person_id: 7 - id })
      .execute()
  }
  return db
}

describe('a key whose name another selected column has', () => {
  it('orders a grouped query by the column of its own table', async () => {
    const db = await open()
    const query = db
      .selectFrom('orders')
      .innerJoin('people', 'people.id', 'orders.person_id')
      .groupBy(['orders.id', 'people.id'])
      .select('orders.id as id')
    const { items } = await cursorPaginate(query, { unique: 'people.id' })
    expect(items.map(({ id }) => id)).toEqual([6, 5, 4, 3, 2, 1])
  })

  it('is refused where a distinct query does not select it', async () => {
    const db = await open()
    const query = db
      .selectFrom('orders')
      .innerJoin('people', 'people.id', 'orders.person_id')
      .distinct()
      .select('orders.id as id')
    await expect(cursorPaginate(query, { unique: 'people.id' })).rejects.toMatchObject({
      code: 'ERR_QUERY_UNSUPPORTED',
    })
  })

  it('is found by its name alone, as SQL finds it', async () => {
    const db = await open()
    const query = db.selectFrom('orders').distinct().select('id')
    const { items } = await cursorPaginate(query, { unique: 'orders.id' })
    expect(items.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6])
  })
})

describe('a column of raw SQL', () => {
  it.each(["case when person_id > 3 then 'over 18' end", "'over' || id", 'overdue', 'id + /* over all */ 1'])(
    '`%s` is no window, so an index serves the pages',
    async (column) => {
      const db = await open()
      await sql`alter table orders add column overdue integer`.execute(db)
      await sql`create index orders_by_person on orders (person_id, id)`.execute(db)
      const query = db.selectFrom('orders').select(['id', 'person_id', sql.raw(column).as('other')])
      await expectSeek(query, { by: ['person_id'], unique: 'id' })
    },
  )

  it.each([
    sql<number>`row_number() over(order by id)`,
    sql<number>`row_number() OVER\n(order by id)`,
    sql<number>`row_number() over ${sql`(order by id)`}`,
    sql<number>`row_number() /* of all */ over /* the list */ (order by id)`,
  ])('that is a window is computed from all rows, on each page', async (rank) => {
    const db = await open()
    const query = db.selectFrom('orders').select(['id', rank.as('rank')])
    const rows = await Array.fromAsync(readRows(query, { unique: 'id', size: 2 }))
    expect(rows).toEqual([1, 2, 3, 4, 5, 6].map((id) => ({ id, rank: id })))
  })
})
