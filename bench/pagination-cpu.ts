import { createPaginator, PostgresPaginationDialect } from 'kysely-cursor'
import { cursorPaginate } from '../src/index.ts'
import { type Candidate, compare, table } from './harness.ts'
import { cannedPostgres } from './support/canned.ts'

/** What does a page cost the process, beside what the database does? */
export default async function run(): Promise<string> {
  const parts = [
    `CPU time of a page of ${perPage} rows, with a driver that answers at once. The page by hand has one cursor, base64url of JSON, and checks nothing.`,
  ]
  for (const [title, candidates] of Object.entries(await questions())) {
    const results = await compare(candidates, { iterations: 300, rounds: 60, warmUp: 60, measure: 'cpu' })
    parts.push(`${title}:`, table(results))
  }
  return parts.join('\n\n')
}

const perPage = 20
const canned = cannedPostgres<{
  events: { id: number; status: number; score: number | null; title: string; tenant: number }
}>()
const events = () => canned.db.selectFrom('events').select(['id', 'status', 'score', 'title']).where('tenant', '=', 7)

interface Event {
  id: number
  status: number
  score: number | null
  title: string
}

function plainRows(from: number, count: number): Event[] {
  return Array.from({ length: count }, (_, at) => ({ id: from + at, status: 5, score: 5, title: `event ${from + at}` }))
}

/** With the columns that our statements add: the keys as PostgreSQL's `record_send` writes them, and the mark of the cursor's row. */
function rowsWithKeys(from: number, count: number, isBehindCursor: boolean): object[] {
  return plainRows(from, count).map((row, at) => {
    const keys = { ...row, posthastek0: recordOf(row.status, row.id) }
    return isBehindCursor ? { ...keys, posthastex0: at === 0 } : keys
  })
}

function recordOf(...keys: readonly number[]): string {
  const int4 = (value: number) => [23, 4, value].map(hex).join('')
  return hex(keys.length) + keys.map(int4).join('')
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0')
}

async function questions(): Promise<Readonly<Record<string, Candidate[]>>> {
  const [first, behind] = [plainRows(1, perPage + 1), plainRows(perPage + 1, perPage + 1)]
  const firstWithKeys = rowsWithKeys(1, perPage + 1, false)
  // From the row of the cursor on.
  const behindWithKeys = rowsWithKeys(perPage, perPage + 2, true)

  const byHand = (key: Key, after?: string) =>
    candidate('Kysely by hand', after === undefined ? first : behind, () => pageByHand(key, after))
  const ours = (key: Key, after?: string | null) =>
    candidate('posthaste', after === undefined ? firstWithKeys : behindWithKeys, () => ourPage(key, after))
  const theirs = (key: Key, nextPage?: string) =>
    candidate('kysely-cursor', nextPage === undefined ? first : behind, () => theirPage(key, nextPage))

  const cursors = async (key: Key) => {
    canned.rows = first
    const [hand, cursor] = [await pageByHand(key), await theirPage(key)]
    canned.rows = firstWithKeys
    const our = await ourPage(key)
    return [byHand(key, hand.next), ours(key, our.pagination.next), theirs(key, cursor.nextPage)]
  }
  return {
    'The first page': [byHand('status'), ours('status'), theirs('status')],
    'A page behind a cursor, by keys that are never NULL': await cursors('status'),
    'A page behind a cursor, by a key that can be NULL': await cursors('score'),
  }
}

function candidate(name: string, rows: readonly object[], page: () => Promise<unknown>): Candidate {
  return {
    name,
    run: () => {
      canned.rows = rows
      return page()
    },
  }
}

type Key = 'status' | 'score'

async function pageByHand(key: Key, after?: string) {
  let query = events()
    .orderBy(key)
    .orderBy('id')
    .limit(perPage + 1)
  if (after !== undefined) {
    const [value, id] = JSON.parse(Buffer.from(after, 'base64url').toString()) as [number, number]
    query = query.where(({ eb, and, or, refTuple, tuple }) =>
      key === 'status'
        ? eb(refTuple(key, 'id'), '>', tuple(value, id))
        : or([eb(key, '>', value), and([eb(key, '=', value), eb('id', '>', id)]), eb(key, 'is', null)]),
    )
  }
  const rows = await query.execute()
  const items = rows.slice(0, perPage)
  const last = items.at(-1)
  if (rows.length <= perPage || last === undefined) return { items }
  return { items, next: Buffer.from(JSON.stringify([last[key], last.id])).toString('base64url') }
}

function ourPage(key: Key, after?: string | null) {
  const by = key === 'status' ? ([key] as const) : ([{ key, nulls: 'last' }] as const)
  return cursorPaginate(events(), { by, unique: 'id', perPage, after })
}

const { paginate } = createPaginator({ dialect: PostgresPaginationDialect })

function theirPage(key: Key, nextPage?: string) {
  const sorts = [{ col: key }, { col: 'id' }] as const
  return paginate({ query: events(), sorts, limit: perPage, ...(nextPage && { cursor: { nextPage } }) })
}
