import { DatabaseSync } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { expect, test } from 'vitest'

const { cursorPaginate } = createPaginator({ onWarn: () => {} })

test('keys beyond 2^53 that are not selected are read by node:sqlite as it is set from the start', async () => {
  const database = new DatabaseSync(':memory:')
  database.exec('create table big (id integer primary key, k integer not null); create index big_k on big (k, id)')
  const insert = database.prepare('insert into big values (?, ?)')
  for (let id = 1; id <= 9; id++) insert.run(id, 2n ** 53n + BigInt(id >> 1))
  const adapter = {
    close: () => database.close(),
    prepare(text: string) {
      const statement = database.prepare(text)
      return {
        reader: statement.columns().length > 0,
        all: (parameters: readonly unknown[]) => statement.all(...(parameters as never[])),
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
      const page: { items: object[]; pagination: { next: string | null; prev: string | null } } = await cursorPaginate(
        db.selectFrom('big').select('id'),
        { by: ['k'], unique: 'id', perPage: 2, from: side === 'after' ? 'start' : 'end', [side]: cursor },
      )
      const ids = page.items.map((row) => (row as { id: number }).id)
      if (side === 'after') seen.push(...ids)
      else seen.unshift(...ids)
      cursor = side === 'after' ? page.pagination.next : page.pagination.prev
    } while (cursor !== null)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  }
  await db.destroy()
})
