import fc from 'fast-check'
import { createPaginator } from 'posthaste/pagination'
import { beforeAll, expect, test } from 'vitest'
import type { CursorPage } from '../../../src/pagination/types.ts'
import type { Engine, Opened, Untyped } from './engines.ts'
import { createItems, fillItems, type Item, items, someItems } from './items.ts'
import { type ItemRow, idsInOrder, itemsQuery, type Order, orders, singleOrders } from './orders.ts'

const numRuns = Number(process.env.PROPERTY_RUNS ?? 12)
const secrets = ['a secret of the paginator', undefined]

interface Walk {
  readonly rows: Item[]
  readonly order: Order
  readonly perPage: number
  readonly backward: boolean
  readonly secret: string | undefined
}

/** Pages one after another, over random rows in random orders, against the order that the database itself gives. */
export function describeWalks({ dialect }: Engine, database: () => Opened): void {
  let opened: Opened

  beforeAll(async () => {
    opened = database()
    await createItems(opened.db, dialect)
  })

  const walks: fc.Arbitrary<Walk> = fc.record({
    rows: items,
    order: orders,
    perPage: fc.integer({ min: 1, max: 7 }),
    backward: fc.boolean(),
    secret: fc.constantFrom(...secrets),
  })

  test('give the query’s own order, with true flags, by one statement a page', async () => {
    const property = fc.asyncProperty(walks, async ({ rows, order, perPage, backward, secret }) => {
      const { db, statements } = opened
      const { cursorPaginate } = createPaginator({ secret, onWarn: () => {} })
      await fillItems(db, rows)
      const expected = await idsInOrder(db, dialect, order)
      const by = order.keys.map((key) => key.by) as never[]
      const seen: number[][] = []
      let cursor: string | null = null
      // On MariaDB the first page of a process in a database learns the types of the keys, which may take a statement more.
      await cursorPaginate(itemsQuery(db, dialect), { by, unique: 'items.id', perPage })
      do {
        statements()
        const where: object = backward ? { before: cursor, from: 'end' } : { after: cursor }
        const page: CursorPage<ItemRow> = await cursorPaginate(itemsQuery(db, dialect), {
          by,
          unique: 'items.id',
          perPage,
          ...where,
        })
        expect(statements()).toHaveLength(1)
        expect(Object.keys(page.items[0] ?? {})).toEqual(['id', 'minus', 'shown', 'team'])
        seen.push(page.items.map((item) => item.id))
        const shown = seen.flat().length
        const [ahead, behind] = backward ? (['hasPrev', 'hasNext'] as const) : (['hasNext', 'hasPrev'] as const)
        expect(page.pagination[ahead]).toBe(shown < expected.length)
        expect(page.pagination[behind]).toBe(cursor !== null)
        cursor = backward ? page.pagination.prev : page.pagination.next
        expect(cursor === null).toBe(shown >= expected.length)
      } while (cursor !== null && seen.length <= expected.length)
      expect((backward ? seen.reverse() : seen).flat()).toEqual(expected)
    })
    const examples = singleOrders.map((order): [Walk] => {
      return [{ rows: [...someItems], order, perPage: 2, backward: false, secret: undefined }]
    })
    await fc.assert(property, { numRuns: examples.length + numRuns, examples })
  }, 600_000)

  test('stay exact while rows are deleted between pages, by one probe when the cursor’s row is gone', async () => {
    const deletions = fc.array(fc.array(fc.nat(), { maxLength: 8 }), { minLength: 1, maxLength: 4 })
    const property = fc.asyncProperty(walks, deletions, async ({ rows, order, perPage, backward }, dels) => {
      await fillItems(opened.db, rows)
      const run = opened.db.transaction().execute(async (trx: Untyped) => {
        const ids = await idsInOrder(trx, dialect, order)
        const alive = new Set(ids)
        const by = order.keys.map((key) => key.by) as never[]
        const { cursorPaginate } = createPaginator({ onWarn: () => {} })
        let cursor: string | null = null
        let at: number | undefined
        for (let step = 0; step < 40; step++) {
          opened.statements()
          const where: object = backward ? { before: cursor, from: 'end' } : { after: cursor }
          const page: CursorPage<ItemRow> = await cursorPaginate(itemsQuery(trx, dialect), {
            by,
            unique: 'items.id',
            perPage,
            ...where,
          })
          const gone = at !== undefined && !alive.has(ids[at] as number)
          expect(opened.statements()).toHaveLength(gone ? 2 : 1)

          const walk = backward ? ids.toReversed() : ids
          const from = at === undefined ? -1 : walk.indexOf(ids[at] as number)
          const ahead = walk.slice(from + 1).filter((id) => alive.has(id))
          const shown = ahead.slice(0, perPage)
          expect(page.items.map((item) => item.id)).toEqual(backward ? shown.toReversed() : shown)
          const behind = walk.slice(0, from + 1).some((id) => alive.has(id))
          const flags = { ahead: ahead.length > perPage, behind }
          const { hasNext, hasPrev } = page.pagination
          expect(backward ? { ahead: hasPrev, behind: hasNext } : { ahead: hasNext, behind: hasPrev }).toEqual(flags)

          const next: string | null = backward ? page.pagination.prev : page.pagination.next
          if (shown.length === 0 && cursor !== null) {
            expect(backward ? page.pagination.next : page.pagination.prev).toBe(cursor)
          }
          if (next === null) break
          cursor = next
          at = ids.indexOf(shown.at(-1) as number)
          const doomed = (dels[step % dels.length] ?? []).map((pick) => ids[pick % ids.length] as number)
          if (doomed.length > 0) await trx.deleteFrom('items').where('id', 'in', doomed).execute()
          for (const id of doomed) alive.delete(id)
        }
        throw rollBack
      })
      await expect(run).rejects.toBe(rollBack)
    })
    await fc.assert(property, { numRuns })
  }, 600_000)
}

const rollBack = new Error('roll back')
