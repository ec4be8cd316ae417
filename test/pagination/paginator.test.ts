import SQLite from 'better-sqlite3'
import { Kysely, SqliteDialect } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createPaginator } from '../../src/pagination/paginator.ts'
import type { Untyped } from './support/engines.ts'

describe('createPaginator', () => {
  let db: Untyped
  const { paginate, cursorPaginate, relayConnection, readChunks } = createPaginator()
  const rows = () => db.selectFrom('t').selectAll()

  beforeAll(async () => {
    db = new Kysely({ dialect: new SqliteDialect({ database: new SQLite(':memory:') }) })
    await db.schema
      .createTable('t')
      .addColumn('id', 'integer', (column) => column.primaryKey())
      .addColumn('n', 'integer')
      .execute()
    await db
      .insertInto('t')
      .values([
        { id: 1, n: 1 },
        { id: 2, n: null },
        { id: 3, n: 3 },
      ])
      .execute()
  })
  afterAll(() => db.destroy())

  it.each([
    { page: 0 },
    { page: 1.5 },
    { page: '2' },
    { perPage: 0 },
    { perPage: 101 },
    { perPage: -1 },
    { perPage: Number.NaN },
    { after: 'x' },
  ])('takes %j as the client’s fault', async (options) => {
    const page = paginate(rows(), { unique: 'id', ...(options as object) })
    await expect(page).rejects.toMatchObject({ code: 'ERR_PAGE_INVALID', status: 400, expose: true })
  })

  it('takes contradictions as the client’s fault', async () => {
    const invalid = { code: 'ERR_PAGE_INVALID', status: 400 }
    await expect(cursorPaginate(rows(), { unique: 'id', after: 'x', before: 'y' })).rejects.toMatchObject(invalid)
    await expect(cursorPaginate(rows(), { unique: 'id', after: 'x', ...{ page: 2 } })).rejects.toMatchObject(invalid)
    for (const args of [
      { first: 1, last: 1 },
      { after: 'x', before: 'y' },
      { first: 1, before: 'x' },
      { last: 1, after: 'x' },
      { first: 0 },
      { last: 101 },
    ]) {
      await expect(relayConnection(rows(), args, { unique: 'id' })).rejects.toMatchObject(invalid)
    }
  })

  it('refuses pages beyond `maxOffset`, and no others', async () => {
    const list = { unique: 'id', perPage: 2, maxOffset: 2 }
    await expect(paginate(rows(), { ...list, page: 2 })).resolves.toMatchObject({ items: [{ id: 3 }] })
    await expect(paginate(rows(), { ...list, page: 3 })).rejects.toMatchObject({
      code: 'ERR_PAGE_TOO_DEEP',
      status: 400,
    })
    const absurd = paginate(rows(), { unique: 'id', page: Number.MAX_SAFE_INTEGER })
    await expect(absurd).rejects.toMatchObject({ code: 'ERR_PAGE_TOO_DEEP' })
  })

  it('takes other wrong options as the programmer’s fault', async () => {
    const wrong: (() => unknown)[] = [
      () => createPaginator({ secret: '' }),
      () => createPaginator({ secret: ['a', 7 as never] }),
      () => createPaginator({ casing: 'kebab' as never }),
      () => createPaginator({ dialect: 'oracle' as never }),
      () => createPaginator({ perPage: { default: 20, max: 10 } }),
      () => createPaginator({ perPage: { max: 0 } }),
      () => readChunks(rows(), { unique: 'id', size: 0 }),
    ]
    for (const make of wrong) expect(make).toThrow(/^Expected `/)
    const options = [
      { unique: [] },
      { unique: 7 },
      { by: 'id' },
      { by: [7] },
      { by: [{ key: 'id', dir: 'up' }] },
      { by: [{ key: 'n', nulls: 'never' }] },
      { total: 'some' },
      { total: { atMost: -1 } },
      { dialect: 'oracle' },
      { from: 'middle' },
      { jump: 0 },
    ]
    for (const option of options) {
      const error = await cursorPaginate(rows(), { unique: 'id', ...(option as object) }).catch(
        (thrown: unknown) => thrown,
      )
      expect(error).toSatisfy((thrown) => thrown instanceof TypeError || thrown instanceof RangeError)
      expect(error).toHaveProperty('message', expect.stringMatching(/^Expected /))
    }
  })

  it('writes the keys of a page in snake case, key for key', async () => {
    const snake = createPaginator({ casing: 'snake', perPage: { default: 2 } })
    const page = await snake.paginate(rows(), { unique: 'id', page: 1, total: { atMost: 2 } })
    expect(JSON.stringify(page.pagination)).toBe(
      '{"page":1,"per_page":2,"total":2,"total_pages":1,"total_is":"capped","has_next":true,"has_prev":false}',
    )
    expect(Object.keys((await snake.cursorPaginate(rows(), { unique: 'id' })).pagination)).toEqual([
      'per_page',
      'has_next',
      'has_prev',
      'next',
      'prev',
    ])
  })

  it('warns once of NULLs that stand where no plain index has them', async () => {
    const warnings: string[] = []
    const pager = createPaginator({ onWarn: ({ code }) => warnings.push(code) })
    await pager.cursorPaginate(rows(), { by: [{ key: 'n', nulls: 'first' }], unique: 'id' })
    expect(warnings).toEqual([])
    for (const nulls of ['last', 'last'] as const)
      await pager.cursorPaginate(rows(), { by: [{ key: 'n', nulls }], unique: 'id' })
    expect(warnings).toEqual(['KEY_ORDER_NOT_NATIVE'])
  })
})
