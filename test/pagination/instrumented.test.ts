import fc from 'fast-check'
import { Kysely } from 'kysely'
import { createCache, createPaginator, instrument } from 'posthaste'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened } from './support/engines.ts'
import { createItems, fillItems, someItems } from './support/items.ts'
import { idsInOrder, itemsQuery, orders, singleOrders } from './support/orders.ts'

const { readRows } = createPaginator({ onWarn: () => {} })

describe.each(engines)('pages through an instrumented database, on $name', ({ dialect, available, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await createItems(opened.db, dialect)
    await fillItems(opened.db, [...someItems])
  })
  afterAll(() => opened?.close(), 60_000)

  test.skipIf(!available)(
    'have the rows of the query in any order, and its tables as tags',
    async () => {
      const { db, dialect: inner } = opened
      const watched = new Kysely(instrument({ dialect: inner }, { explain: false }))
      const property = fc.asyncProperty(orders, fc.integer({ min: 1, max: 3 }), async (order, size) => {
        const cache = createCache()
        const by = order.keys.map((key) => key.by) as never[]
        const walk = () => Array.fromAsync(readRows(itemsQuery(watched, dialect), { by, unique: 'items.id', size }))
        const rows = await cache.getOrSet('rows', walk, { tags: 'auto' })
        expect(rows.map(({ id }) => id)).toEqual(await idsInOrder(db, dialect, order))
        expect((await cache.explain('rows')).tags?.toSorted()).toEqual(['table:items', 'table:teams'])
        await cache.close()
      })
      const nullable = singleOrders.filter(({ keys }) => keys.some(({ by }) => 'nulls' in by && by.nulls === 'first'))
      const several = { keys: nullable.slice(0, 3).flatMap(({ keys }) => keys), descending: true }
      await fc.assert(property, { numRuns: 20, examples: [[several, 2]] })
    },
    60_000,
  )
})
