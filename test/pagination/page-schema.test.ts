import { Ajv } from 'ajv'
import SQLite from 'better-sqlite3'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { expect, it } from 'vitest'
import { listQuery } from '../../src/pagination/list-query/list-query.ts'
import { pageSchema } from '../../src/pagination/page-schema.ts'

it('describes the pages that the paginator makes, and a page takes the sizes that its list query took', async () => {
  // biome-ignore lint/suspicious/noExplicitAny: tables without types
  const db = new Kysely<any>({ dialect: new SqliteDialect({ database: new SQLite(':memory:') }) })
  await sql`create table rows (id integer primary key)`.execute(db)
  await db
    .insertInto('rows')
    .values([1, 2, 3].map((id) => ({ id })))
    .execute()
  const q = listQuery({ perPage: { max: 500 } }).parse('per_page=400')
  const item = {
    type: 'object',
    properties: { id: { type: 'integer' } },
    required: ['id'],
    additionalProperties: false,
  }
  for (const casing of ['camel', 'snake'] as const) {
    const { paginate, cursorPaginate } = createPaginator({ casing })
    const rows = () => db.selectFrom('rows').select('id')
    const numbered = new Ajv({ allowUnionTypes: true }).compile(pageSchema(item, { casing }))
    const cursored = new Ajv({ allowUnionTypes: true }).compile(pageSchema(item, { casing, cursor: true }))
    for (const total of ['exact', 'none', 'estimate'] as const) {
      expect(numbered(await paginate(rows(), { ...q, unique: 'id', total })), JSON.stringify(numbered.errors)).toBe(
        true,
      )
      const page = await cursorPaginate(rows(), { unique: 'id', perPage: 1, total, jump: 2 })
      expect(cursored(page), JSON.stringify(cursored.errors)).toBe(true)
      expect(numbered(page)).toBe(false)
    }
    await expect(paginate(rows(), { unique: 'id', perPage: 400 })).rejects.toMatchObject({ code: 'ERR_PAGE_INVALID' })
  }
  expect(() => pageSchema(item, { casing: 'kebab' as 'camel' })).toThrow(TypeError)
  await db.destroy()
})
