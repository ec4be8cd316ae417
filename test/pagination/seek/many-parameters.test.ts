import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened, type Untyped } from '../support/engines.ts'

const { cursorPaginate, readRows } = createPaginator({ onWarn: () => {} })

describe.each(engines)(
  'a query with nearly as many parameters as a statement may have, on $name',
  ({ dialect, available, open }) => {
    let opened: Opened
    let db: Untyped
    const values = Array.from({ length: dialect === 'sqlite' ? 32_600 : 65_300 }, (_value, at) => at)
    const ids = (rows: readonly object[]) => rows.map((row) => (row as { id: number }).id)

    beforeAll(async () => {
      if (!available) return
      opened = await open()
      db = opened.db
      await db.schema
        .createTable('many')
        .addColumn('id', 'integer', (column) => column.primaryKey())
        .addColumn('a', 'integer')
        .addColumn('b', 'integer')
        .addColumn('m', 'integer', (column) => column.notNull())
        .execute()
      const rows = Array.from({ length: 9 }, (_row, at) => ({
        id: at + 1,
        a: at % 3 === 0 ? null : at % 2,
        b: at % 4 === 0 ? null : at % 3,
        m: at % 2,
      }))
      await db.insertInto('many').values(rows).execute()
    })
    afterAll(() => opened?.close(), 60_000)

    const list = () => db.selectFrom('many').select('id').where('id', 'in', values)
    const nulls = dialect === 'postgres' ? 'last' : 'first'
    const nullable = [
      { key: 'a', nulls },
      { key: 'b', nulls },
    ]

    test.skipIf(!available).each([
      ['of nullable keys', nullable],
      ['of keys that are never NULL', ['m', 'id']],
      ['of keys in two directions', ['m desc', 'id']],
    ])('is paged in an order %s', async (_name, by) => {
      const options = { by, unique: 'id', perPage: 4 } as never
      const all = ids((await cursorPaginate(db.selectFrom('many').select('id'), { by, unique: 'id' } as never)).items)
      expect(ids(await Array.fromAsync(readRows(list(), { by, unique: 'id', size: 4 } as never)))).toEqual(all)
      const first = await cursorPaginate(list(), options)
      const second = await cursorPaginate(list(), { ...(options as object), after: first.pagination.next } as never)
      const back = await cursorPaginate(list(), { ...(options as object), before: second.pagination.prev } as never)
      expect([first.items, second.items, back.items].map(ids)).toEqual([
        all.slice(0, 4),
        all.slice(4, 8),
        all.slice(0, 4),
      ])
    })

    test.skipIf(!available)('is paged on from a row that is gone', async () => {
      await db.insertInto('many').values({ id: 20, a: 1, b: 1, m: 1 }).execute()
      const reader = readRows(list(), { by: nullable, unique: 'id' } as never)
      const walk: number[] = []
      let after: string | null = null
      for await (const row of reader) {
        walk.push(...ids([row]))
        if (walk.at(-1) === 20) after = reader.cursor
      }
      await db.deleteFrom('many').where('id', '=', 20).execute()
      const options = { by: nullable, unique: 'id', perPage: 1, after }
      const { items, pagination } = await cursorPaginate(list(), options as never)
      expect(ids(items)).toEqual([walk[walk.indexOf(20) + 1]])
      expect(pagination.hasPrev).toBe(true)
    })

    test.skipIf(!available)('is refused for a NULL in a key that should have none', async () => {
      const options = { by: ['m', dialect === 'postgres' ? 'a' : 'a desc'], unique: 'id', size: 2 } as never
      await expect(Array.fromAsync(readRows(list(), options))).rejects.toMatchObject({ code: 'ERR_KEY_NULL' })
    })
  },
)
