import {
  type ColumnType,
  type Generated,
  Kysely,
  PostgresDialect,
  type SelectQueryBuilder,
  type Simplify,
  sql,
} from 'kysely'
import { createPaginator, cursorPaginate, paginate, readRows, relayConnection } from 'posthaste/pagination'
import { expectTypeOf } from 'vitest'
import type { Page, Total } from '../../src/pagination/types.ts'

interface Database {
  users: {
    id: Generated<number>
    name: string
    role: 'admin' | 'user'
    last_login: Date | null
    created_at: ColumnType<Date, string, never>
    prefs: { dark: boolean }
    tags: string[]
    age: { days: number }
    team_id: number | null
  }
  teams: { id: number; title: string }
}

const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool: {} as never }) })
const users = db.selectFrom('users').select(['users.id', 'name', 'users.last_login as seen'])
const teamed = db
  .selectFrom('users')
  .leftJoin('teams', 'teams.id', 'users.team_id')
  .select(['users.id', 'teams.title as team'])

/** A helper over any columns of a table. */
export function newest<O>(query: SelectQueryBuilder<Database, 'users', O>): Promise<Page<Simplify<O>>> {
  return paginate(query, { by: ['created_at desc', { key: 'last_login', nulls: 'last' }], unique: 'id' })
}

export async function keys(): Promise<void> {
  await newest(users)
  // To match an index that is declared so, `unique` keys included.
  await cursorPaginate(users, {
    by: [
      { key: 'name', nulls: 'last' },
      { key: 'id', nulls: 'last' },
    ],
    unique: 'id',
  })
  // PostgreSQL orders arrays, jsonb and intervals.
  await cursorPaginate(users, { by: ['prefs', 'tags desc', 'users.age'], unique: 'users.id' })
  const dynamic = db.dynamic.ref('name')
  await cursorPaginate(users, {
    by: [dynamic, { key: dynamic, dir: 'desc' }, { expr: dynamic, nulls: 'last' }],
    unique: [db.dynamic.ref('users.id')],
  })
  await cursorPaginate(users, {
    by: ['created_at desc', 'users.name', { key: 'role', dir: 'asc' }],
    unique: 'users.id',
  })
  await cursorPaginate(users, {
    by: [
      { key: 'users.last_login', nulls: 'last' },
      { key: 'seen', nulls: 'first' },
    ],
    unique: 'id',
  })
  await cursorPaginate(users, { by: [{ expr: sql`lower(name)`, nulls: 'never' }], unique: ['id', 'name'] })
  await cursorPaginate(users, { by: [{ expr: (eb) => eb.fn.coalesce('name', 'role'), nulls: 'last' }], unique: 'id' })
  await cursorPaginate(teamed, {
    by: [
      { key: 'teams.title', nulls: 'last' },
      { key: 'team', nulls: 'last' },
    ],
    unique: 'users.id',
  })

  // @ts-expect-error -- no such column
  await cursorPaginate(users, { by: ['password desc'], unique: 'users.id' })
  // @ts-expect-error -- no such direction
  await cursorPaginate(users, { by: ['name down'], unique: 'users.id' })
  // @ts-expect-error -- a nullable key must say where its NULLs stand
  await cursorPaginate(users, { by: ['last_login'], unique: 'users.id' })
  // @ts-expect-error -- so must an alias of one
  await cursorPaginate(users, { by: ['seen'], unique: 'users.id' })
  // @ts-expect-error -- a column behind a left join can be NULL
  await cursorPaginate(teamed, { by: ['teams.title'], unique: 'users.id' })
  // @ts-expect-error -- an expression must say where its NULLs stand
  await cursorPaginate(users, { by: [{ expr: sql`lower(name)` }], unique: 'users.id' })
  // @ts-expect-error -- a unique key is never NULL
  await cursorPaginate(users, { unique: 'last_login' })
  // @ts-expect-error -- nor is one behind a left join fit
  await cursorPaginate(teamed, { unique: 'teams.id' })
  // @ts-expect-error -- a unique key is needed
  await cursorPaginate(users, {})
  // @ts-expect-error -- no such dialect
  await cursorPaginate(users, { unique: 'id', dialect: 'oracle' })
}

/** An order that a client chooses, also in a table whose columns are all NOT NULL. */
export async function chosen(key: 'title' | 'id', dir: 'asc' | 'desc', any: keyof Database['users']): Promise<void> {
  const teams = db.selectFrom('teams').select(['id', 'title as label'])
  await cursorPaginate(teams, { by: [{ key, dir }], unique: 'id' })
  await cursorPaginate(teams, { by: [{ key: dir === 'asc' ? 'title' : 'label' }, `${key} ${dir}`], unique: 'id' })
  await cursorPaginate(users, { by: [{ key: any, dir, nulls: 'last' }], unique: 'id' })
  // @ts-expect-error -- one of the columns can be NULL
  await cursorPaginate(users, { by: [{ key: any, dir }], unique: 'id' })
  // @ts-expect-error -- one of the names is no column
  await cursorPaginate(teams, { by: [{ key: dir === 'asc' ? 'title' : 'name' }], unique: 'id' })
}

export async function results(): Promise<void> {
  const page = await paginate(users, { unique: 'users.id' })
  expectTypeOf(page.items).toEqualTypeOf<{ id: number; name: string; seen: Date | null }[]>()
  expectTypeOf(page.pagination).toEqualTypeOf<{
    page: number
    perPage: number
    total: number
    totalPages: number
    hasNext: boolean
    hasPrev: boolean
  }>()
  const none = await paginate(users, { unique: 'users.id', total: 'none' })
  // @ts-expect-error -- no total was asked for
  none.pagination.total
  const capped = await paginate(users, { unique: 'users.id', total: { atMost: 10 } })
  expectTypeOf(capped.pagination.totalIs).toEqualTypeOf<'exact' | 'capped' | 'estimate'>()
  const known = await paginate(users, { unique: 'users.id', total: { known: 10 } })
  // @ts-expect-error -- a known total is taken as it is
  known.pagination.totalIs

  const first = await cursorPaginate(users, { unique: 'users.id', total: page.items.length > 0 ? 'exact' : 'none' })
  expectTypeOf(first.pagination.total).toEqualTypeOf<number | undefined>()
  // @ts-expect-error -- neither has it
  first.pagination.totalIs
  const either = await paginate(users, { unique: 'users.id', total: page.items.length > 0 ? 'exact' : { atMost: 10 } })
  expectTypeOf(either.pagination.total).toEqualTypeOf<number>()
  expectTypeOf(either.pagination.totalIs).toEqualTypeOf<'exact' | 'capped' | 'estimate' | undefined>()
  const anyTotal = await paginate(users, { unique: 'users.id', total: page.items.length > 0 ? 'none' : 'estimate' } as {
    unique: 'users.id'
    total: Total
  })
  expectTypeOf(anyTotal.pagination.totalPages).toEqualTypeOf<number | undefined>()
  expectTypeOf(anyTotal.pagination.totalIs).toEqualTypeOf<'exact' | 'capped' | 'estimate' | undefined>()

  const snake = await createPaginator({ casing: 'snake' }).paginate(users, { unique: 'users.id' })
  expectTypeOf(snake.pagination).toEqualTypeOf<{
    page: number
    per_page: number
    total: number
    total_pages: number
    has_next: boolean
    has_prev: boolean
  }>()
  const cursor = await cursorPaginate(users, { unique: 'users.id' })
  expectTypeOf(cursor.pagination.next).toEqualTypeOf<string | null>()
  // @ts-expect-error -- a cursor page has no total unless it is asked for
  cursor.pagination.total
  const counted = await cursorPaginate(users, { unique: 'users.id', total: 'estimate' })
  expectTypeOf(counted.pagination.total).toEqualTypeOf<number>()
  const connection = await relayConnection(users, { first: 3 }, { unique: 'id' })
  expectTypeOf(connection.nodes).toEqualTypeOf<{ id: number; name: string; seen: Date | null }[]>()
  for await (const row of readRows(users, { unique: 'id' })) expectTypeOf(row.seen).toEqualTypeOf<Date | null>()
}

export async function untyped(): Promise<void> {
  // biome-ignore lint/suspicious/noExplicitAny: what Kysely itself calls a database without types
  const any = new Kysely<any>({ dialect: new PostgresDialect({ pool: {} as never }) })
  const query = any.selectFrom('anything').selectAll()
  await cursorPaginate(query, { by: ['x desc', { key: 'y', nulls: 'last' }, { key: 'z' }], unique: 'id' })
}

// biome-ignore lint/suspicious/noExplicitAny: a query of code without types
export async function untypedQuery(query: any): Promise<void> {
  const page = await paginate(query, { by: ['x desc', { key: 'y', nulls: 'last' }], unique: 'id', total: 'none' })
  page.items.map((row) => row.name)
  // @ts-expect-error -- its total is known all the same
  page.pagination.total
  for await (const row of readRows(query, { unique: ['id', 'x'] })) row.name
}

/** They may be taken out of the paginator, as the documents do: `@typescript-eslint/unbound-method` has no objection. */
type Paginator = ReturnType<typeof createPaginator>
expectTypeOf<{ [Name in keyof Paginator]: ThisParameterType<Paginator[Name]> }[keyof Paginator]>().toEqualTypeOf<void>()
