import SQLite from 'better-sqlite3'
import { type Generated, Kysely, SqliteDialect } from 'kysely'
import { cursorPaginate, linkHeader, listQuery, oneOf, paginate } from 'posthaste'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

interface Database {
  users: { id: Generated<number>; name: string; role: 'admin' | 'user'; last_login: number | null }
}

const db = new Kysely<Database>({ dialect: new SqliteDialect({ database: new SQLite(':memory:') }) })

const list = listQuery({
  sort: { name: 'users.name', last_login: { key: 'users.last_login', nulls: 'last' } },
  defaultSort: 'name',
  filter: { role: oneOf('admin', 'user') },
  perPage: { default: 3 },
})

function ask(url: string) {
  const q = list.parse(url)
  const query = db.selectFrom('users').select(['id', 'name'])
  return { q, query: q.filter.role ? query.where('role', '=', q.filter.role) : query }
}

function pageOf(url: string) {
  const { q, query } = ask(url)
  return paginate(query, { ...q, unique: 'users.id' })
}

function cursorPageOf(url: string) {
  const { q, query } = ask(url)
  return cursorPaginate(query, { ...q, unique: 'users.id' })
}

beforeAll(async () => {
  await db.schema
    .createTable('users')
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('role', 'text', (column) => column.notNull())
    .addColumn('last_login', 'integer')
    .execute()
  const users = Array.from({ length: 10 }, (_, at) => ({
    name: `n${9 - at}`,
    role: at % 2 ? ('admin' as const) : ('user' as const),
    last_login: at < 2 ? null : at,
  }))
  await db.insertInto('users').values(users).execute()
})

afterAll(() => db.destroy())

/** Follows one relation of the Link header until there is none. */
async function follow(
  read: (url: string) => ReturnType<typeof pageOf | typeof cursorPageOf>,
  url: string,
  relation: string,
) {
  const names: string[] = []
  for (let next: string | undefined = url; next !== undefined; ) {
    const page = await read(next)
    names.push(...page.items.map((user) => user.name))
    next = new RegExp(`<([^>]*)>; rel="${relation}"`).exec(linkHeader(page, next))?.[1]
  }
  return names
}

describe('a parsed query in the pagers', () => {
  const ordered = Array.from({ length: 10 }, (_, at) => `n${at}`)

  it('spreads into paginate, and its pages link to each other', async () => {
    expect((await pageOf('/users?page=2')).pagination).toMatchObject({ page: 2, perPage: 3, total: 10, totalPages: 4 })
    expect(await follow(pageOf, '/users', 'next')).toEqual(ordered)
    expect(await follow(pageOf, '/users?page=4&per_page=3', 'prev')).toHaveLength(10)
  })

  it('spreads into cursorPaginate, and its pages link to each other', async () => {
    expect(await follow(cursorPageOf, '/users?sort=-name', 'next')).toEqual(ordered.toReversed())
    expect(await follow(cursorPageOf, '/users?role=admin&per_page=2', 'next')).toEqual(['n0', 'n2', 'n4', 'n6', 'n8'])
    expect((await cursorPageOf('/users?sort=-last_login&per_page=9')).items.at(-1)?.name).toMatch(/n[89]/)
  })

  it('binds cursors to the filters they were made with, and to the order', async () => {
    const { next } = (await cursorPageOf('/users?role=admin')).pagination
    await expect(cursorPageOf(`/users?role=user&after=${next}`)).rejects.toMatchObject({ code: 'ERR_CURSOR_MISMATCH' })
    await expect(cursorPageOf(`/users?after=${next}`)).rejects.toMatchObject({ code: 'ERR_CURSOR_MISMATCH' })
    await expect(cursorPageOf(`/users?role=admin&sort=-name&after=${next}`)).rejects.toMatchObject({
      code: 'ERR_CURSOR_MISMATCH',
    })
    expect((await cursorPageOf(`/users?role=admin&per_page=1&after=${next}`)).items).toHaveLength(1)
  })

  it('leaves it to the pager whether a cursor is one', async () => {
    await expect(cursorPageOf('/users?after=nonsense')).rejects.toMatchObject({
      code: 'ERR_CURSOR_INVALID',
      status: 400,
    })
    await expect(pageOf('/users?after=nonsense')).rejects.toMatchObject({ code: 'ERR_PAGE_INVALID', status: 400 })
  })
})
