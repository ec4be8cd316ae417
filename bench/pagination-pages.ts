import { type Expression, type ExpressionBuilder, type SqlBool, sql } from 'kysely'
import {
  createPaginator,
  MysqlPaginationDialect,
  PostgresPaginationDialect,
  SqlitePaginationDialect,
} from 'kysely-cursor'
import { cursorPaginate } from '../src/index.ts'
import { type Candidate, compare } from './harness.ts'
import { openKyselyPaginate } from './peers/pages.ts'
import { type EventDatabase, type EventTables, openEvents } from './support/events.ts'

const count = 200_000
const perPage = 20
const depths = [0, 0.5, 0.99]

/** What does a page cost, at any depth? */
export default async function run(): Promise<string> {
  const parts = [
    `Pages of ${perPage} of ${count} rows, by the wall clock: microseconds, and the ratio to Kysely by hand. A library that does not give the rows that follow in its own order is wrong.`,
  ]
  const opened = await openEvents(count)
  try {
    for (const database of opened) {
      for (const order of [notNull, nullable])
        parts.push(`${database.name}, ${order.title}:`, await depthsOf(database, order))
    }
  } finally {
    for (const { close } of opened) await close()
  }
  return parts.join('\n\n')
}

async function depthsOf(database: EventDatabase, order: Order): Promise<string> {
  const cells = new Map<string, string[]>()
  for (const depth of depths) {
    for (const [name, cell] of await pagesAt(database, order, depth))
      cells.set(name, [...(cells.get(name) ?? []), cell])
  }
  const head = ['| | first page | behind 50 % | behind 99 % |', '|---|---:|---:|---:|']
  return [...head, ...Array.from(cells, ([name, row]) => `| ${name} | ${row.join(' | ')} |`)].join('\n')
}

interface Order {
  readonly title: string
  readonly key: 'status' | 'score'
}

const notNull: Order = { title: 'a key of three values, then the id', key: 'status' }
const nullable: Order = { title: 'a key that is NULL in a tenth of the rows, then the id', key: 'score' }

interface Place {
  readonly database: EventDatabase
  readonly key: Order['key']
  /** The row behind which the page stands and the one after it; absent for the first page. */
  readonly behind: readonly [number, number] | undefined
  /** Rows before the page. */
  readonly position: number
}

/** One way to page: prepares the page of a place, and gives the ids of its rows. */
interface Pager {
  /** Where it puts NULLs. @defaultValue where the database has them */
  readonly nulls?: 'first'
  open(place: Place): Promise<() => Promise<number[]>>
}

async function pagesAt(
  database: EventDatabase,
  { key }: Order,
  depth: number,
): Promise<[name: string, cell: string][]> {
  const position = Math.floor(count * depth)
  const candidates: Candidate[] = []
  for (const [name, { nulls, open }] of Object.entries(pagers)) {
    const ids = await idsFrom(database, key, nulls, Math.max(position - 1, 0))
    const [behind, expected] = position === 0 ? [undefined, ids] : [[ids[0], ids[1]] as [number, number], ids.slice(1)]
    const page = await open({ database, key, behind, position }).catch((error: unknown) => () => Promise.reject(error))
    candidates.push({ name, run: page, wrong: await faultOf(page, expected.slice(0, perPage)) })
  }
  const results = await compare(candidates, { iterations: depth === 0 ? 10 : 2, rounds: 15, warmUp: 3 })
  return [
    ...results.map(({ name, medianUs, ratio }): [string, string] => [
      name,
      `${Math.round(medianUs)} (${ratio.toFixed(2)})`,
    ]),
    ...candidates.flatMap(({ name, wrong }): [string, string][] =>
      wrong === undefined ? [] : [[name, `wrong: ${wrong}`]],
    ),
  ]
}

async function idsFrom({ db, dialect }: EventDatabase, key: Order['key'], nulls: Pager['nulls'], skipped: number) {
  const order = sql`${sql.ref(key)} asc ${sql.raw(dialect === 'postgres' && nulls !== undefined ? 'nulls first' : '')}`
  const query = db.selectFrom('events').select('id').orderBy(order).orderBy('id')
  const rows = await query
    .limit(perPage + 1)
    .offset(skipped)
    .execute()
  return rows.map((row) => row.id)
}

async function faultOf(page: () => Promise<number[]>, expected: readonly number[]): Promise<string | undefined> {
  try {
    const ids = await page()
    return ids.join() === expected.join() ? undefined : 'not the rows that follow in its order'
  } catch (error) {
    return `throws "${(error as Error).message.slice(0, 60)}"`
  }
}

const idsOf = (rows: readonly { id: number }[]) => rows.slice(0, perPage).map((row) => row.id)
const events = ({ database: { db } }: Place) => db.selectFrom('events').select(['id', 'status', 'score', 'title'])

const byHand: Pager = {
  async open(place) {
    const { database, key, behind } = place
    const ordered = () =>
      events(place)
        .orderBy(key)
        .orderBy('id')
        .limit(perPage + 1)
    if (behind === undefined) return async () => idsOf(await ordered().execute())
    const [id] = behind
    const row = await events(place).where('id', '=', id).executeTakeFirstOrThrow()
    const value = row[key]
    return async () =>
      idsOf(
        await ordered()
          .where((eb) => following(eb, database.dialect, key, value, id))
          .execute(),
      )
  },
}

/** What someone who knows the database writes for these two orders. */
function following(
  eb: ExpressionBuilder<EventTables, 'events'>,
  dialect: EventDatabase['dialect'],
  key: Order['key'],
  value: number | null,
  id: number,
): Expression<SqlBool> {
  const nullsLast = dialect === 'postgres'
  if (value === null) {
    const among = eb.and([eb(key, 'is', null), eb('id', '>', id)])
    return nullsLast ? among : eb.or([among, eb(key, 'is not', null)])
  }
  if (key === 'status' && dialect !== 'mysql') return eb(eb.refTuple(key, 'id'), '>', eb.tuple(value, id))
  const beyond = [eb(key, '>', value), eb.and([eb(key, '=', value), eb('id', '>', id)])]
  return eb.or(key === 'score' && nullsLast ? [...beyond, eb(key, 'is', null)] : beyond)
}

const ours: Pager = {
  async open(place) {
    const { database, key, behind } = place
    const nulls = database.dialect === 'postgres' ? ('last' as const) : ('first' as const)
    const by = key === 'status' ? [key] : [{ key, nulls } as const]
    const options = { by, unique: 'id', perPage } as const
    if (behind === undefined) return async () => idsOf((await cursorPaginate(events(place), options)).items)
    const only = events(place).where('id', 'in', behind)
    const { pagination } = await cursorPaginate(only, { ...options, perPage: 1 })
    const after = pagination.next
    return async () => idsOf((await cursorPaginate(events(place), { ...options, after })).items)
  },
}

const cursorDialects = {
  sqlite: SqlitePaginationDialect,
  postgres: PostgresPaginationDialect,
  mysql: MysqlPaginationDialect,
}

const kyselyCursor: Pager = {
  nulls: 'first',
  async open(place) {
    const { database, key, behind } = place
    const { paginate } = createPaginator({ dialect: cursorDialects[database.dialect] })
    const options = { sorts: [{ col: key }, { col: 'id' }] as const, limit: perPage }
    if (behind === undefined) return async () => idsOf((await paginate({ query: events(place), ...options })).items)
    const only = await paginate({ query: events(place).where('id', 'in', behind), ...options, limit: 1 })
    const cursor = { nextPage: only.nextPage as string }
    return async () => idsOf((await paginate({ query: events(place), ...options, cursor })).items)
  },
}

const kyselyPaginate: Pager = {
  async open({ database: { dialect, config }, key, behind }) {
    const page = openKyselyPaginate(dialect, config)
    const after = behind && (await page(key, 1, undefined, behind)).cursor
    return async () => (await page(key, perPage, after)).ids
  },
}

const byOffset: Pager = {
  async open(place) {
    const query = () =>
      events(place)
        .orderBy(place.key)
        .orderBy('id')
        .limit(perPage + 1)
        .offset(place.position)
    return async () => idsOf(await query().execute())
  },
}

const pagers: Readonly<Record<string, Pager>> = {
  'Kysely by hand, keyset': byHand,
  'posthaste, cursorPaginate': ours,
  'kysely-cursor': kyselyCursor,
  'kysely-paginate, Kysely 0.24': kyselyPaginate,
  'Kysely by hand, OFFSET': byOffset,
}
