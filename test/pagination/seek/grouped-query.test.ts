import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { cursorPaginate, expectSeek, nodeSqlite } from 'posthaste'
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

describe('a query of which only a text or a comment speaks of windows', () => {
  it('is not wrapped, so that an index serves its pages', async () => {
    const db = await open()
    await sql`create index orders_by_person on orders (person_id, id)`.execute(db)
    const label = sql<string>`case when person_id > 3 then 'over 18' else 'over a year' end /* over all */`.as('label')
    await expectSeek(db.selectFrom('orders').select(['id', 'person_id', label]), { by: ['person_id'], unique: 'id' })
  })
})
