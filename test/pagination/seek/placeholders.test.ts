import fc from 'fast-check'
import { Kysely, MysqlDialect } from 'kysely'
import { createPool, escape as quote } from 'mysql2'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened, type Untyped } from '../support/engines.ts'
import { createItems, fillItems, someItems } from '../support/items.ts'
import { idsInOrder, itemsQuery, orders, singleOrders } from '../support/orders.ts'

const { readRows } = createPaginator({ onWarn: () => {} })
const servers = engines.filter(({ dialect }) => dialect === 'mysql')

// `mysql2` before 3.17 and Knex take each `?` for a parameter, also within quotes.
describe.each(servers)(
  'through a driver that fills in each question mark, on $name',
  ({ dialect, available, open }) => {
    let opened: Opened
    let db: Untyped

    beforeAll(async () => {
      if (!available) return
      opened = await open()
      await createItems(opened.db, dialect)
      await fillItems(opened.db, [...someItems])
      const queryFormat = (text: string, values: readonly unknown[]) => {
        const rest = [...(values ?? [])]
        return text.replace(/\?/g, () => quote(rest.shift() as string))
      }
      const pool = createPool({ uri: opened.url as string, queryFormat } as never)
      db = new Kysely({ dialect: new MysqlDialect({ pool }) })
    })
    afterAll(async () => {
      await db?.destroy()
      await opened?.close()
    }, 60_000)

    test.skipIf(!available)(
      'pages have the rows of the query in any order',
      async () => {
        const property = fc.asyncProperty(orders, fc.integer({ min: 1, max: 3 }), async (order, size) => {
          const by = order.keys.map((key) => key.by) as never[]
          const rows = await Array.fromAsync(readRows(itemsQuery(db, dialect), { by, unique: 'items.id', size }))
          expect(rows.map(({ id }) => id)).toEqual(await idsInOrder(db, dialect, order))
        })
        await fc.assert(property, { numRuns: 30, examples: singleOrders.map((order) => [order, 2]) })
      },
      60_000,
    )
  },
)
