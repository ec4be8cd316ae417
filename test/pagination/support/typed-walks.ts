import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { CamelCasePlugin, type RawBuilder, sql } from 'kysely'
import { createPaginator } from 'posthaste/pagination'
import type { Connection, SqlDialect } from '../../../src/pagination/types.ts'
import { type ColumnType, columnTypes, ownTypes, sessionSettings } from './column-types.ts'
import type { ServerKind, Untyped } from './engines.ts'
import { idsOf, nativeNulls, type Query } from './walking.ts'

/** A list in an order, and how it is walked. */
export interface TypedWalk {
  readonly type: number
  /** Which value each row has in `k`; -1 is NULL. */
  readonly picks: readonly number[]
  /** The key: the column, or one of the type's expressions. */
  readonly computed: number
  readonly isDescending: boolean
  readonly nulls: 'first' | 'last'
  readonly isUniqueDescending: boolean
  readonly hasLeadingKey: boolean
  readonly ownOrder: boolean
  readonly plugin: boolean
  readonly signed: boolean
  readonly shape: 'plain' | 'derived' | 'renamed' | 'raw' | 'grouped' | 'joined'
  readonly perPage: number
  readonly direction: 'forward' | 'backward' | 'rows' | 'relay'
  /** What a reader of rows selects beside the id. */
  readonly reads: 'id' | 'keys' | 'all'
  /** The settings of the session that reads each page, in turn. */
  readonly settings: readonly number[]
}

const maxRows = 14

export const typedWalks = (server: ServerKind): fc.Arbitrary<TypedWalk> =>
  fc.record({
    type: fc.nat({ max: columnTypes[server].length - 1 }),
    picks: fc.array(fc.integer({ min: -1, max: 20 }), { minLength: 1, maxLength: maxRows }),
    computed: fc.oneof({ weight: 3, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat({ max: 9 }) }),
    isDescending: fc.boolean(),
    nulls: fc.constantFrom('first' as const, 'last' as const),
    isUniqueDescending: fc.boolean(),
    hasLeadingKey: fc.boolean(),
    ownOrder: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    plugin: fc.boolean(),
    signed: fc.boolean(),
    shape: fc.constantFrom(
      'plain' as const,
      'plain' as const,
      'plain' as const,
      'derived' as const,
      'renamed' as const,
      'raw' as const,
      'grouped' as const,
      'joined' as const,
    ),
    perPage: fc.integer({ min: 1, max: 7 }),
    direction: fc.constantFrom('forward' as const, 'backward' as const, 'rows' as const, 'relay' as const),
    reads: fc.constantFrom('id' as const, 'keys' as const, 'keys' as const, 'all' as const),
    settings: fc.array(fc.nat({ max: Math.max(5, sessionSettings[server]?.length ?? 0) - 1 }), {
      minLength: 1,
      maxLength: 3,
    }),
  })

export function dialectOf(server: ServerKind): Exclude<SqlDialect, 'mssql'> {
  return server === 'mariadb' ? 'mysql' : server
}

/** What became of a walk: `'right'`, the code that refused it, or what was wrong. */
export type Outcome = { readonly kind: 'right' } | { readonly kind: 'refused' | 'wrong'; readonly detail: string }

/** Makes the tables of {@link typedWalks}. */
export async function createTypedTables(db: Untyped, server: ServerKind): Promise<void> {
  const dialect = dialectOf(server)
  if (dialect === 'postgres') for (const statement of ownTypes) await sql.raw(statement).execute(db)
  await sql.raw('create table typed_leads (item_id int primary key, other_lead int not null)').execute(db)
  for (let at = 0; at < maxRows; at++) {
    await sql.raw(`insert into typed_leads values (${at + 1}, ${at % 2})`).execute(db)
  }
  for (const [at, { ddl }] of columnTypes[server].entries()) {
    const key = dialect === 'sqlite' ? 'integer' : 'int'
    const hasNoIndex = dialect !== 'mysql' || (server === 'mysql' && ddl.startsWith('json'))
    const index = hasNoIndex ? '' : `, index (k_value${/text|blob|json/.test(ddl) ? '(20)' : ''}, id)`
    await sql
      .raw(
        `create table typed_${at} (id ${key} primary key, lead_key int not null, k_value ${ddl}${dialect === 'mysql' && !/null/.test(ddl) ? ' null' : ''}${index})`,
      )
      .execute(db)
  }
}

/** @param mode - a statement that enters a mode for the whole walk, in place of the settings */
export async function runTypedWalk(db: Untyped, server: ServerKind, walk: TypedWalk, mode?: string): Promise<Outcome> {
  const type = columnTypes[server][walk.type] as ColumnType
  const table = `typed_${walk.type}`
  return db.connection().execute(async (connection) => {
    const settings = await usableSettings(connection, server)
    const enter = async (at: number) => {
      for (const statement of settings[at % Math.max(settings.length, 1)] ?? [])
        await sql.raw(statement).execute(connection)
    }
    await enter(0)
    await fill(connection, table, type, walk.picks)
    // The value of an expression may depend on the time zone.
    if (mode === undefined) await enter(walk.settings[0] ?? 0)
    else await sql.raw(mode).execute(connection)
    const plan = planOf(connection, server, table, type, walk)
    let page = 0
    const next = async () => {
      if (mode === undefined) await enter(walk.settings[page++ % walk.settings.length] ?? 0)
      else await sql.raw(mode).execute(connection)
    }
    try {
      const [zone = ''] =
        settings[(walk.settings[0] ?? 0) % settings.length]?.filter((one) => one.includes('zone')) ?? []
      const isOrderOpen =
        server === 'mysql' && mode === undefined && /'[A-Z]\w+\//.test(zone) && hasOpenOrder(walk, type)
      const expected = idsOf(isOrderOpen ? await wholeList(plan) : await plan.ordered.execute())
      return await compare(plan, walk, expected, next)
    } catch (error) {
      const { code, message } = error as { code?: string; message: string }
      // An expression that the database itself refuses under these settings.
      if (code !== undefined && code === (await failureOf(plan.ordered))) return { kind: 'right' }
      const isRefused = /^ERR_(CURSOR_UNSTABLE|KEY_NOT_UNIQUE|QUERY_UNSUPPORTED)$/.test(code ?? '')
      return { kind: isRefused ? 'refused' : 'wrong', detail: `${code} ${message}` }
    } finally {
      await enter(0)
    }
  })
}

/**
 * Whether MySQL has instants in several orders in the hour that is repeated when daylight saving ends: in tables it has them in
 * their own, in expressions in that of the local time, and in derived tables in either. Pages of one list must agree.
 */
function hasOpenOrder({ shape, computed }: TypedWalk, type: ColumnType): boolean {
  const isOfTable = (shape === 'plain' || shape === 'joined') && type.computed?.[computed] === undefined
  return type.ddl.startsWith('timestamp') && !isOfTable
}

async function wholeList({ query, by, unique }: Plan): Promise<object[]> {
  const { cursorPaginate } = createPaginator({ onWarn: () => {} })
  return (await cursorPaginate(query, { by, unique, perPage: 100 } as never)).items
}

async function failureOf(query: Query): Promise<string | undefined> {
  return query.execute().then(
    () => undefined,
    (error: { code?: string }) => error.code,
  )
}

interface Plan {
  readonly query: Query
  /** The query's own order, as the database gives it. */
  readonly ordered: Query
  readonly by: readonly object[] | undefined
  readonly unique: string
}

function planOf(db: Untyped, server: ServerKind, table: string, type: ColumnType, walk: TypedWalk): Plan {
  const dialect = dialectOf(server)
  const { computed = [] } = type
  const chosen = computed[walk.computed] ?? (type.isUnordered ? computed[0] : undefined)
  const expression = chosen?.replaceAll(/\bk\b/g, 'k_value')
  const key: RawBuilder<unknown> = sql.raw(expression ?? 'k_value')
  const direction = walk.isDescending ? 'desc' : 'asc'
  const uniqueDirection = walk.isUniqueDescending ? 'desc' : 'asc'
  const nulls = walk.ownOrder ? nativeNulls(dialect, walk.isDescending) : walk.nulls
  const nullOrder =
    dialect === 'mysql'
      ? sql.raw(
          `case when (${expression ?? 'k_value'}) <=> null then ${nulls === 'first' ? 0 : 1} else ${nulls === 'first' ? 1 : 0} end, `,
        )
      : sql``
  const nullsText = dialect === 'mysql' ? sql`` : sql.raw(` nulls ${nulls}`)
  const lead = walk.hasLeadingKey ? sql`lead_key, ` : sql``
  const order = sql`${lead}${nullOrder}${key} ${sql.raw(direction)}${nullsText}, id ${sql.raw(uniqueDirection)}`

  const name = walk.plugin ? 'kValue' : 'k_value'
  const scoped = walk.plugin ? db.withPlugin(new CamelCasePlugin()) : db
  const leadName = walk.shape === 'joined' ? 'other_lead' : 'lead_key'
  const leadKey = walk.plugin ? leadName.replace(/_(.)/, (_, letter: string) => letter.toUpperCase()) : leadName
  const shapes: Readonly<Record<typeof walk.shape, () => Query>> = {
    plain: () => scoped.selectFrom(table).select('id'),
    derived: () => scoped.selectFrom(scoped.selectFrom(table).selectAll().as('d')).select('id'),
    renamed: () => {
      const columns = ['id', leadKey, name]
      const renamed = scoped.with(`r(${columns.join(', ')})`, () =>
        scoped.selectFrom(table).select(['id as a', `${leadKey} as b`, `${name} as c`]),
      )
      return renamed.selectFrom('r' as never).select('id' as never) as never
    },
    raw: () => scoped.selectFrom(sql`(select * from ${sql.table(table)})`.as('d')).select('id' as never) as never,
    grouped: () => shapes.plain().groupBy(['id', leadKey, name]),
    // MariaDB keeps the rows of an order by two tables in a temporary table.
    joined: () => shapes.plain().innerJoin('typed_leads', walk.plugin ? 'itemId' : 'item_id', 'id') as Query,
  }
  const onlyId = shapes[walk.shape]() as Query
  const isRead = walk.direction === 'rows' && walk.shape !== 'grouped'
  const withKeys = isRead && walk.reads === 'keys' ? onlyId.select([leadKey, name]) : onlyId
  const shaped = (isRead && walk.reads === 'all' ? onlyId.clearSelect().selectAll() : withKeys) as Query
  const led: Query = walk.hasLeadingKey ? (shaped.orderBy(leadKey) as Query) : shaped
  const query: Query = walk.ownOrder ? led.orderBy(key, direction) : shaped
  const typed = expression === undefined ? { key: name, dir: direction, nulls } : { expr: key, dir: direction, nulls }
  // `unique` takes the direction of the last key, so its own is given where it differs.
  const by = [...(walk.hasLeadingKey ? [leadKey] : []), typed, `id ${uniqueDirection}`]
  const idOrder = walk.ownOrder ? query.orderBy('id', uniqueDirection) : query
  // MySQL groups in a temporary table, which has other values for some times.
  const rows =
    walk.shape === 'grouped' && server === 'mysql'
      ? sql.raw(`(select id, lead_key, k_value from ${table} group by id, lead_key, k_value)`).as('g')
      : table
  const plain = db
    .selectFrom(rows as 'g')
    .select('id')
    .orderBy(order as never)
  return { query: idOrder, ordered: plain as Query, by: walk.ownOrder ? undefined : (by as object[]), unique: 'id' }
}

async function compare(
  { query, by, unique }: Plan,
  { perPage, direction, signed }: TypedWalk,
  expected: readonly number[],
  nextSession: () => Promise<void>,
): Promise<Outcome> {
  const pager = createPaginator({ secret: signed ? 'a secret' : undefined, onWarn: () => {} })
  const options = { by: by as never, unique, perPage }
  const seen: number[] = []
  const wrong = (detail: string): Outcome => ({ kind: 'wrong', detail: `${detail}: saw ${seen}, expected ${expected}` })
  if (direction === 'rows') {
    const reader = pager.readChunks(query, { ...options, size: perPage })
    for (;;) {
      await nextSession()
      const { done, value } = await reader.next()
      if (done) break
      seen.push(...idsOf(value.rows))
      if (seen.length > expected.length) return wrong('too many rows')
    }
    return isDeepStrictEqual(seen, expected) ? { kind: 'right' } : wrong('rows')
  }
  const isBackward = direction === 'backward'
  let cursor: string | null = null
  do {
    await nextSession()
    const side = isBackward ? { before: cursor, from: 'end' } : { after: cursor }
    let items: number[]
    let ahead: boolean
    let behind: boolean
    if (direction === 'relay') {
      const page: Connection<object> = await pager.relayConnection(query, { first: perPage, after: cursor }, options)
      items = idsOf(page.nodes)
      ahead = page.pageInfo.hasNextPage
      behind = page.pageInfo.hasPreviousPage
      cursor = ahead ? page.pageInfo.endCursor : null
    } else {
      const page = await pager.cursorPaginate(query, { ...options, ...side, total: 'exact' } as never)
      const { hasNext, hasPrev, next, prev, total } = page.pagination as never as {
        hasNext: boolean
        hasPrev: boolean
        next: string
        prev: string
        total: number
      }
      if (total !== expected.length) return wrong(`total ${total}`)
      if (Object.keys(page.items[0] ?? {}).join() !== 'id') return wrong(`columns ${Object.keys(page.items[0] ?? {})}`)
      items = idsOf(page.items as object[])
      ahead = isBackward ? hasPrev : hasNext
      behind = isBackward ? hasNext : hasPrev
      cursor = isBackward ? prev : next
    }
    if (behind !== seen.length > 0) return wrong(`flag behind is ${behind}`)
    seen[isBackward ? 'unshift' : 'push'](...items)
    if (ahead !== seen.length < expected.length) return wrong(`flag ahead is ${ahead}`)
    const part = isBackward ? expected.slice(-seen.length) : expected.slice(0, seen.length)
    if (!isDeepStrictEqual(seen, part)) return wrong('page')
  } while (cursor !== null)
  return { kind: 'right' }
}

async function fill(db: Untyped, table: string, { values }: ColumnType, picks: readonly number[]): Promise<void> {
  await sql.raw(`delete from ${table}`).execute(db)
  const rows = picks.map((pick, at) => `(${at + 1}, ${at % 2}, ${pick < 0 ? 'null' : values[pick % values.length]})`)
  await sql.raw(`insert into ${table} values ${rows.join(', ')}`).execute(db)
}

/** The settings that this server knows: MariaDB may have no time zones but offsets. */
async function usableSettings(db: Untyped, server: ServerKind): Promise<readonly (readonly string[])[]> {
  const settings = sessionSettings[server] ?? []
  if (dialectOf(server) !== 'mysql') return settings
  const { rows } = await sql`select convert_tz('2026-01-01', '+00:00', 'Europe/Berlin') as zone`.execute(db)
  const hasZones = (rows[0] as { zone: unknown }).zone !== null
  return settings.map((list) => list.map((text) => (hasZones ? text : text.replace(/'[A-Z]\w+\/\w+'/, "'+05:30'"))))
}
