import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { cursorPaginate, readRows } from 'posthaste/pagination'
import { expect, test } from 'vitest'

/** The text of infinite numbers differs between versions of SQLite. */
const versions = [
  ['SQLite 3.50', '9.0e+999'],
  ['libSQL and SQLite 3.44', 'Inf'],
] as const

test.each(versions)(
  'infinite numbers are keys on %s, whose drivers may not take them as parameters',
  async (_, text) => {
    const database = new DatabaseSync(':memory:')
    database.exec('create table readings (id integer primary key, value real)')
    const insert = database.prepare('insert into readings values (?, ?)')
    for (const [at, value] of [1.5, Infinity, -Infinity, null, Infinity, -2, -Infinity, Infinity].entries()) {
      insert.run(at + 1, value)
    }
    const quoted = (value: unknown) => (typeof value === 'number' && value < 0 ? `-${text}` : text)
    database.function('quote', (value) => (Math.abs(Number(value)) === Infinity ? quoted(value) : String(value)))
    const adapter = {
      close: () => database.close(),
      prepare(sql: string) {
        const statement = database.prepare(sql)
        return {
          reader: true,
          all(parameters: readonly unknown[]) {
            if (parameters.some((value) => Math.abs(Number(value)) === Infinity))
              throw new RangeError('Only finite numbers (not Infinity or NaN) can be passed as arguments')
            return statement.all(...(parameters as never[]))
          },
        }
      },
    }
    // biome-ignore lint/suspicious/noExplicitAny: tables without types
    const db = new Kysely<any>({ dialect: new SqliteDialect({ database: adapter as never }) })
    const query = db.selectFrom('readings').select('id')
    const options = { by: [{ key: 'value', nulls: 'first' }], unique: 'id' } as const
    const expected = [4, 3, 7, 6, 1, 2, 5, 8]
    const rows = await Array.fromAsync(readRows(query, { ...options, size: 1 }))
    expect(rows.map(({ id }) => id)).toEqual(expected)
    const seen: unknown[] = []
    let before: string | null = null
    do {
      const page: { items: { id: number }[]; pagination: { prev: string | null } } = await cursorPaginate(query, {
        ...options,
        perPage: 1,
        before,
        from: 'end',
      })
      seen.unshift(...page.items.map(({ id }) => id))
      before = page.pagination.prev
    } while (before !== null)
    expect(seen).toEqual(expected)
    await db.destroy()
  },
)
