import { type SelectQueryBuilder, sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened, type Untyped } from '../support/engines.ts'

const { cursorPaginate, readChunks } = createPaginator({ onWarn: () => {} })

describe.each(engines)('unique keys with NULLs on $name', ({ available, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    const { db } = opened
    await sql`create table customers (id int primary key)`.execute(db)
    await sql`create table orders (id int primary key, customer_id int)`.execute(db)
    await db
      .insertInto('customers')
      .values([1, 2, 3, 4, 5].map((id) => ({ id })))
      .execute()
    const owners = [1, 1, 3, 3, 5, null]
    await db
      .insertInto('orders')
      .values(owners.map((owner, at) => ({ id: at + 1, customer_id: owner })))
      .execute()
  }, 60_000)
  afterAll(() => opened?.close(), 60_000)

  const placements = (['first', 'last'] as const).flatMap((nulls) =>
    (['asc', 'desc'] as const).map((dir) => [nulls, dir] as const),
  )
  test.skipIf(!available).each(placements)(
    'a cursor leads back to a row whose last key is NULL: NULLs %s, %s',
    async (nulls, dir) => {
      const query = leftJoin(opened.db)
      const isNull = sql`case when orders.id is null then 0 else 1 end`
      const list = await query
        .orderBy('customers.id')
        .orderBy(isNull, nulls === 'first' ? 'asc' : 'desc')
        .orderBy('orders.id', dir)
        .execute()
      expect(list).toHaveLength(7)
      const by = [{ key: 'customers.id' }, { key: 'orders.id', dir, nulls }]
      const options = { by, unique: ['customers.id', 'orders.id'] }
      for (const perPage of [1, 2, 3]) {
        const forward: object[] = []
        const backward: object[] = []
        let [after, before]: (string | null)[] = [null, null]
        do {
          const page: Page = await cursorPaginate(query, { ...options, perPage, after } as never)
          expect(page.pagination.hasPrev).toBe(forward.length > 0)
          forward.push(...page.items)
          after = page.pagination.next
        } while (after !== null)
        do {
          const page: Page = await cursorPaginate(query, { ...options, perPage, before, from: 'end' } as never)
          expect(page.pagination.hasNext).toBe(backward.length > 0)
          backward.unshift(...page.items)
          before = page.pagination.prev
        } while (before !== null)
        const chunks = await Array.fromAsync(readChunks(query, { ...options, size: perPage } as never))
        expect([forward, backward, chunks.flatMap(({ rows }) => rows)]).toEqual([list, list, list])
      }
    },
  )
})

interface Page {
  readonly items: object[]
  readonly pagination: { next: string | null; prev: string | null; hasNext: boolean; hasPrev: boolean }
}

// biome-ignore lint/suspicious/noExplicitAny: tables without types
function leftJoin(db: Untyped): SelectQueryBuilder<any, any, object> {
  return db
    .selectFrom('customers')
    .leftJoin('orders', 'orders.customer_id', 'customers.id')
    .select(['customers.id as customer', 'orders.id as order'])
}
