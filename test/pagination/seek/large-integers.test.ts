import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { expect, test } from 'vitest'

const { cursorPaginate } = createPaginator({ onWarn: () => {} })

type Row = Record<string, unknown>

/** libSQL reads integers as it is set from the start, and refuses larger ones by an error without a code. */
function asLibsql(row: Row): Row {
  const numbers = Object.entries(row).map(([name, value]) => {
    if (typeof value !== 'bigint') return [name, value]
    if (!Number.isSafeInteger(Number(value))) {
      throw new RangeError('Received integer which cannot be safely represented as a JavaScript number')
    }
    return [name, Number(value)]
  })
  return Object.fromEntries(numbers)
}

test.each([
  // Keys of two names: what was learned of an order is remembered.
  ['node:sqlite', 'k', false, (row: Row) => row],
  ['libSQL', 'n', true, asLibsql],
])(
  'keys beyond 2^53 that are not selected are read by %s as it is set from the start',
  async (_name, key, readsBigInts, read) => {
    const database = new DatabaseSync(':memory:')
    database.exec(`create table big (id integer primary key, ${key} integer not null)`)
    const insert = database.prepare('insert into big values (?, ?)')
    for (let id = 1; id <= 9; id++) insert.run(id, 2n ** 53n + BigInt(id >> 1))
    const adapter = {
      close: () => database.close(),
      prepare(text: string) {
        const statement = database.prepare(text)
        statement.setReadBigInts(readsBigInts)
        return {
          reader: statement.columns().length > 0,
          all: (parameters: readonly unknown[]) => statement.all(...(parameters as never[])).map(read),
          run: (parameters: readonly unknown[]) => statement.run(...(parameters as never[])),
          iterate: (parameters: readonly unknown[]) => statement.iterate(...(parameters as never[])),
        }
      },
    }
    // biome-ignore lint/suspicious/noExplicitAny: tables without types
    const db = new Kysely<any>({ dialect: new SqliteDialect({ database: adapter as never }) })
    for (const side of ['after', 'before'] as const) {
      const seen: number[] = []
      let cursor: string | null = null
      do {
        const page: { items: object[]; pagination: { next: string | null; prev: string | null } } =
          await cursorPaginate(db.selectFrom('big').select('id'), {
            by: [key, 'id desc'],
            unique: 'id',
            perPage: 2,
            from: side === 'after' ? 'start' : 'end',
            [side]: cursor,
          })
        const ids = page.items.map((row) => (row as { id: number }).id)
        if (side === 'after') seen.push(...ids)
        else seen.unshift(...ids)
        cursor = side === 'after' ? page.pagination.next : page.pagination.prev
      } while (cursor !== null)
      expect(seen).toEqual([1, 3, 2, 5, 4, 7, 6, 9, 8])
    }
    await db.destroy()
  },
)
