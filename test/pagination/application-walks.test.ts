import fc from 'fast-check'
import {
  CamelCasePlugin,
  DeduplicateJoinsPlugin,
  type ExpressionBuilder,
  HandleEmptyInListsPlugin,
  type KyselyPlugin,
  ParseJSONResultsPlugin,
  replaceWithNoncontingentExpression,
  type SelectQueryBuilder,
  sql,
} from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engines, type Opened, type Untyped } from './support/engines.ts'

const numRuns = Number(process.env.RUNS ?? 15)
const seed = Number(process.env.SEED ?? 5)

const { cursorPaginate, paginate, readChunks, readRows, relayConnection } = createPaginator({ onWarn: () => {} })

// biome-ignore-start lint/suspicious/noExplicitAny: what Kysely itself calls a query without types
type Query = SelectQueryBuilder<any, any, any>
type Builder = ExpressionBuilder<any, any>
// biome-ignore-end lint/suspicious/noExplicitAny: the same

const dir = fc.constantFrom('asc' as const, 'desc' as const)
const ways = ['forward', 'backward', 'jump', 'relay', 'relay backward', 'rows', 'chunks', 'numbered'] as const

/** A list as applications have them: tables that share the names of columns, in each way to select and to name a key. */
const lists = fc.record({
  join: fc.constantFrom('none', 'inner', 'left', 'boss', 'cte', 'derived'),
  selection: fc.constantFrom('all', 'all of users', 'named', 'aliased', 'computed', 'sub-selects'),
  key: fc.constantFrom('name', 'score', 'created_at', 'team_id', 'none'),
  form: fc.constantFrom('qualified', 'bare', 'alias', 'expression', 'own order'),
  dir,
  uniqueForm: fc.constantFrom('qualified', 'alias'),
  plugins: fc.constantFrom('none', 'camel', 'several'),
  where: fc.constantFrom('none', 'or', 'in', 'exists', 'raw'),
  way: fc.constantFrom(...ways),
  perPage: fc.integer({ min: 1, max: 8 }),
})

type List = typeof lists extends fc.Arbitrary<infer Value> ? Value : never

async function createTables(db: Untyped, isPostgres: boolean): Promise<void> {
  const time = isPostgres ? 'timestamptz' : 'datetime'
  for (const table of ['users', 'teams']) {
    await sql`create table ${sql.table(table)} (id int primary key, team_id int, boss_id int, name varchar(20) not null, score int,
      created_at ${sql.raw(time)} not null)`.execute(db)
  }
  for (const table of ['users', 'teams']) {
    const rows = Array.from({ length: table === 'users' ? 23 : 5 }, (_, at) => ({
      id: at + 1,
      team_id: at % 4 === 0 ? null : (at % 5) + 1,
      boss_id: at % 3 === 0 ? null : ((at * 7) % 23) + 1,
      name: `${table} ${at % 6}`,
      score: at % 5 === 2 ? null : (at * 11) % 7,
      created_at: `2026-01-0${(at % 3) + 1} 00:00:00`,
    }))
    await db.insertInto(table).values(rows).execute()
  }
}

const plugins: Readonly<Record<string, readonly KyselyPlugin[]>> = {
  none: [],
  camel: [new CamelCasePlugin()],
  several: [
    new DeduplicateJoinsPlugin(),
    new ParseJSONResultsPlugin(),
    new HandleEmptyInListsPlugin({ strategy: replaceWithNoncontingentExpression }),
  ],
}

/** The query without its order, and what its keys are called. */
function queryOf(db: Untyped, { join, selection, where, plugins: pluginsName }: List) {
  const isCamel = pluginsName === 'camel'
  const name = (text: string) => (isCamel ? text.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()) : text)
  const from = {
    none: () => db.selectFrom('users as u'),
    inner: () => db.selectFrom('users as u').innerJoin('teams as t', 't.id', name('u.team_id')),
    left: () => db.selectFrom('users as u').leftJoin('teams as t', 't.id', name('u.team_id')),
    boss: () => db.selectFrom('users as u').leftJoin('users as t', 't.id', name('u.boss_id')),
    cte: () =>
      db
        .with('recent', (with_) => with_.selectFrom('users').selectAll().where('id', '>', 3))
        .selectFrom('recent as u')
        .leftJoin('teams as t', 't.id', name('u.team_id')),
    derived: () =>
      db
        .selectFrom((eb: Builder) => eb.selectFrom('users').selectAll().where('id', '<', 20).as('u'))
        .leftJoin('teams as t', 't.id', name('u.team_id')),
  }[join] as () => Query
  const hasTeam = join !== 'none'
  const team = hasTeam ? ['t.name as team_name', name('t.created_at as since')] : []
  const columns = ['u.id', 'u.name', 'u.score', name('u.created_at'), name('u.team_id')]
  let query = from()
  if (selection === 'all' && !hasTeam) query = query.selectAll()
  else if (selection === 'all' || selection === 'all of users') query = query.selectAll('u').select(team)
  else if (selection === 'named') query = query.select([...columns, ...team])
  else if (selection === 'aliased') {
    query = query.select(['u.id as user_id', 'u.name as label', 'u.score as points', `${name('u.created_at')} as at`])
    query = query.select([`${name('u.team_id')} as team`, ...(hasTeam ? ['t.id', 't.name', 't.score'] : [])])
  } else if (selection === 'computed') {
    query = query.select(columns).select(sql`coalesce(u.score, 0) + 1`.as('rank'))
  } else {
    const members = (eb: Builder) => {
      const others = eb.selectFrom('users as o').whereRef(name('o.team_id'), '=', name('u.team_id'))
      return others.select(sql`count(*)`.as('n')).as('members')
    }
    query = query.select([...columns, members])
  }
  if (where === 'or') {
    query = query.where((eb) => eb.or([eb('u.score', '>', 2), eb('u.score', 'is', null), eb('u.id', '=', 1)]))
  }
  if (where === 'in') query = query.where('u.id', 'in', [1, 2, 3, 5, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 21])
  if (where === 'exists') {
    const others = (eb: Builder) => eb.selectFrom('users as o').select('o.id').whereRef('o.name', '=', 'u.name')
    query = query.where((eb) => eb.exists(others(eb)))
  }
  if (where === 'raw') query = query.where(sql<boolean>`u.id > 2 or u.name like '%1'`)
  return { query, name }
}

const aliases: Readonly<Record<string, string>> = {
  id: 'user_id',
  name: 'label',
  score: 'points',
  created_at: 'at',
  team_id: 'team',
}

/** The list as the database has it, and how it is paged. */
function walkOf(db: Untyped, list: List, isPostgres: boolean) {
  const { key, form, dir } = list
  const withPlugins = (plugins[list.plugins] as KyselyPlugin[]).reduce((on, plugin) => on.withPlugin(plugin), db)
  const { query, name } = queryOf(withPlugins, list)
  const hasKey = key !== 'none'
  const column = sql.ref(name(`u.${key}`))
  const ordered = hasKey ? query.orderBy(column, dir) : query
  const expected = ordered.orderBy(sql.ref('u.id'), hasKey ? dir : 'asc')
  const nameOf = (of: string, isAlias: boolean) => {
    if (isAlias && list.selection === 'aliased') return name(aliases[of] as string)
    return form === 'bare' && list.join === 'none' ? name(of) : name(`u.${of}`)
  }
  const unique = nameOf('id', list.uniqueForm === 'alias')
  if (!hasKey || form === 'own order') return { expected, asked: ordered, options: { unique } }
  const isNullable = key === 'score' || key === 'team_id'
  const nulls = (dir === 'desc') === isPostgres ? 'first' : 'last'
  const text = nameOf(key, form === 'alias')
  const named = isNullable ? { key: text, dir, nulls } : `${text} ${dir}`
  const by = form === 'expression' ? { expr: column, dir, nulls: isNullable ? nulls : 'never' } : named
  return { expected, asked: query, options: { by: [by], unique } }
}

async function rowsOf(query: Query, options: object, { way, perPage }: List, limit: number): Promise<unknown[]> {
  const seen: unknown[] = []
  if (way === 'rows' || way === 'chunks') {
    const reader = way === 'rows' ? readRows : readChunks
    for await (const given of reader(query, { ...options, size: perPage } as never) as AsyncIterable<never>) {
      seen.push(...(way === 'rows' ? [given] : (given as { rows: unknown[] }).rows))
      if (seen.length > limit) break
    }
    return seen
  }
  if (way === 'numbered') {
    for (let page = 1; ; page++) {
      const { items, pagination } = await paginate(query, { ...options, page, perPage } as never)
      seen.push(...items)
      if (!pagination.hasNext || seen.length > limit) return seen
    }
  }
  const isBackward = way.endsWith('backward')
  let cursor: string | null = null
  do {
    let items: readonly unknown[]
    if (way.startsWith('relay')) {
      const args: object = isBackward ? { last: perPage, before: cursor } : { first: perPage, after: cursor }
      const { nodes, pageInfo } = await relayConnection(query, args as never, options as never)
      items = nodes
      const { hasNextPage, hasPreviousPage, startCursor, endCursor } = pageInfo
      cursor = isBackward ? (hasPreviousPage ? startCursor : null) : hasNextPage ? endCursor : null
    } else {
      const side: object = isBackward ? { before: cursor, from: 'end' } : { after: cursor }
      const jump = way === 'jump' ? { jump: 2 } : {}
      const page = await cursorPaginate(query, { ...options, ...side, ...jump, perPage, total: 'exact' } as never)
      items = page.items
      cursor = isBackward ? page.pagination.prev : page.pagination.next
    }
    seen[isBackward ? 'unshift' : 'push'](...items)
  } while (cursor !== null && seen.length <= limit)
  return seen
}

describe.each(engines)('$name', ({ dialect, available, open }) => {
  let opened: Opened

  beforeAll(async () => {
    if (!available) return
    opened = await open()
    await createTables(opened.db, dialect === 'postgres')
  }, 60_000)
  afterAll(() => opened?.close(), 60_000)

  test.skipIf(!available)(
    'pages of the lists of applications have the rows of the list, in its order',
    async () => {
      const wrong: string[] = []
      for (const list of fc.sample(lists, { numRuns, seed })) {
        const { expected, asked, options } = walkOf(opened.db, list, dialect === 'postgres')
        const rows = await expected.execute()
        expect(rows.length).toBeGreaterThan(5)
        const seen = await rowsOf(asked, options, list, rows.length).catch((error: Error) => String(error))
        try {
          expect(seen).toEqual(rows)
        } catch {
          const ids = (some: unknown) => (typeof some === 'string' ? some : JSON.stringify(some).slice(0, 300))
          wrong.push(`${JSON.stringify(list)}: saw ${ids(seen)}, expected ${ids(rows)}`)
        }
      }
      expect(wrong).toEqual([])
    },
    600_000,
  )
})
