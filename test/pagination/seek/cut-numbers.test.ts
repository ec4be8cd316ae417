import { type KyselyPlugin, sql } from 'kysely'
import { cursorPaginate, readRows } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { engines, type Opened } from '../support/engines.ts'

/** Prisma's drivers take the type of a computed column from its first row, and make integers of all its numbers. */
const asPrisma: KyselyPlugin = {
  transformQuery: ({ node }) => node,
  async transformResult({ result }) {
    const rows = result.rows.map((row) => ({ ...row }))
    for (const name of Object.keys(rows[0] ?? {}).filter((name) => name.startsWith('posthaste'))) {
      if (!Number.isInteger(rows.find((row) => row[name] !== null)?.[name])) continue
      for (const row of rows) if (row[name] !== null) row[name] = asInteger(row[name])
    }
    return { ...result, rows }
  },
}

function asInteger(value: unknown): bigint {
  return BigInt(typeof value === 'number' ? Math.trunc(value) : (value as string))
}

describe.each(engines.filter(({ dialect }) => dialect === 'sqlite'))('numbers that are cut, on $name', ({ open }) => {
  let opened: Opened

  beforeAll(async () => {
    opened = await open()
    await sql`create table items (id integer primary key, price decimal)`.execute(opened.db)
    await sql`insert into items values (1, 1.5), (2, 2), (3, 1), (4, 1.25), (5, null), (6, 2.75), (7, 2.5), (8, 9007199254740993)`.execute(
      opened.db,
    )
  })
  afterAll(() => opened.close(), 60_000)

  it.each(['asc', 'desc'] as const)('are pages in the order of the numbers: %s', async (dir) => {
    const items = opened.db.withPlugin(asPrisma).selectFrom('items').select('id')
    const options = { by: [{ key: 'price', dir, nulls: 'first' }, 'id asc'], unique: 'id' } as const
    const expected = dir === 'asc' ? [5, 3, 4, 1, 2, 7, 6, 8] : [5, 8, 6, 7, 2, 1, 4, 3]
    for (const size of [1, 2, 3]) {
      const seen: unknown[] = []
      for await (const { id } of readRows(items, { ...options, size })) seen.push(id)
      expect(seen).toEqual(expected)
      const before: unknown[] = []
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const from = cursor === undefined ? 'end' : undefined
        const page = await cursorPaginate(items, { ...options, perPage: size, before: cursor, from })
        before.unshift(...page.items.map(({ id }) => id))
        cursor = page.pagination.hasPrev ? page.pagination.prev : null
      }
      expect(before).toEqual(expected)
    }
  })
})
