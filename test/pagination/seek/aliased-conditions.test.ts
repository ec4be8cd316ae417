import { sql } from 'kysely'
import { countRows, cursorPaginate, paginate } from 'posthaste/pagination'
import { describe, expect, it, onTestFinished } from 'vitest'
import { engines } from '../support/engines.ts'
import { idsOf, pagesOf, type Query } from '../support/walking.ts'

describe.each(engines.filter(({ dialect }) => dialect === 'sqlite'))('a condition on $name', ({ open }) => {
  async function prepare() {
    const { db, close } = await open()
    onTestFinished(close)
    await sql`create table shops (id integer primary key, name text not null, x real not null)`.execute(db)
    const shops = Array.from({ length: 20 }, (_, at) => ({ id: at + 1, name: at % 2 ? 'A' : 'b', x: (at * 7) % 20 }))
    await db.insertInto('shops').values(shops).execute()
    return db
  }

  it.each([
    ['by the builder', (query: Query) => query.where('distance', '<', 6)],
    ['in raw SQL', (query: Query) => query.where(sql<boolean>`Distance < ${6}`)],
    ['by its name as a node', (query: Query) => query.where(sql<boolean>`${sql.id('distance')} < ${6}`)],
  ])('may name a column of the result %s', async (_way, near) => {
    const db = await prepare()
    const query = near(db.selectFrom('shops').select(['id', sql<number>`abs(x - 10)`.as('distance')]) as Query)
    const order = { by: ['distance'], unique: 'id', perPage: 3 } as const
    const ids = idsOf(await query.orderBy('distance').orderBy('id').execute())
    expect(ids).toHaveLength(11)

    expect(await countRows(query)).toBe(11)
    expect((await paginate(query, order)).pagination.total).toBe(11)
    expect((await paginate(query, { ...order, total: { atMost: 5 } })).pagination).toMatchObject({ total: 5 })
    expect(idsOf((await Array.fromAsync(pagesOf({ cursorPaginate }, query, order))).flat())).toEqual(ids)
    const { pagination } = await cursorPaginate(query, { ...order, jump: 3 })
    const targets = (pagination.jump ?? []).map(({ after }) => cursorPaginate(query, { ...order, after }))
    expect((await Promise.all(targets)).flatMap(({ items }) => idsOf(items))).toEqual(ids.slice(3))
    await db.deleteFrom('shops').where('id', '=', ids[2]).execute()
    const next = await cursorPaginate(query, { ...order, after: pagination.next })
    expect(idsOf(next.items)).toEqual(ids.slice(3, 6))
    expect(next.pagination.hasPrev).toBe(true)
  })

  it('means the column of the table, if there is one of the name of an alias', async () => {
    const db = await prepare()
    const query = db
      .selectFrom('shops')
      .select(['id', sql<string>`lower(name)`.as('name')])
      .where('name', '=', 'A')
    const { items, pagination } = await paginate(query, { unique: 'id', perPage: 3 })
    expect(items).toEqual([2, 4, 6].map((id) => ({ id, name: 'a' })))
    expect(pagination.total).toBe(10)
  })
})
