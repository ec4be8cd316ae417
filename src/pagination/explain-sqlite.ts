import { ValueNode } from 'kysely'
import type { PageShape } from './advice.ts'
import { byIndex, catalogQuery, tableParts } from './explain-catalog.ts'
import { type CatalogIndex, holdsAll, mentions, type PlanReading, serves } from './explain-plan.ts'
import type { OrderedQuery } from './ordered-query.ts'
import { raw } from './raw.ts'
import type { Row, Source } from './source.ts'

/** A row of `explain query plan` (https://sqlite.org/eqp.html). */
interface Step {
  readonly id: number
  readonly parent: number
  readonly detail: string
}

/** Reads the plan of SQLite, which has no counters of rows. */
export async function readSqlitePlan(
  rows: readonly Row[],
  shape: PageShape,
  { keys }: OrderedQuery,
  source: Source,
): Promise<PlanReading> {
  const steps = rows as unknown as readonly Step[]
  const main = withoutSubqueries(steps)
  const touched = main.flatMap(accessOf)
  const own = touched.filter(({ table }) => table === shape.driving?.name)
  const slowLookup = touched.find((access) => {
    // In a loop of its own, or around that of the rows, it is no lookup.
    return access.whole && !own.includes(access) && own.some(({ loop, at }) => loop === access.loop && at < access.at)
  })?.table
  const indexes = await indexesOf(shape, source)
  const unused = indexes.find((index) => holdsAll(index, shape) && serves(index, shape))?.name
  const reading = { plan: outline(steps), absent: own.length === 0, slowLookup, unused }
  if (main.some(({ detail }) => /^USE TEMP B-TREE FOR .*ORDER BY/.test(detail))) return { access: 'sort', ...reading }
  // A branch for NULLs in a column that cannot have any is planned as a scan, and never runs.
  const idle = own.length > 1 ? keys.filter((key) => !key.nullable && !key.unique && key.nulls === 'last').length : 0
  const working = own.filter(({ whole }, at) => !whole || own.slice(0, at + 1).filter((one) => one.whole).length > idle)
  const bounded = working.every((access) => isBounded(access, shape, indexes) && (own.length === 1 || !access.whole))
  return { access: bounded && slowLookup === undefined ? 'seek' : 'scan', ...reading }
}

interface TableAccess {
  readonly loop: number
  readonly at: number
  readonly table: string
  readonly whole: boolean
  readonly index: string | undefined
  /** The columns that are compared for equality at the head of the index. */
  readonly equal: readonly string[]
}

function accessOf({ id, parent, detail }: Step): TableAccess[] {
  const match = /^(SEARCH|SCAN) (.+?)(?: USING (.+?))?(?: LEFT-JOIN)?$/.exec(detail)
  if (match === null) return []
  const [, verb, table = '', way = ''] = match
  const index = /^(?:COVERING )?INDEX (.+?)(?: \(.*)?$/.exec(way)?.[1]
  const equal = [...detail.matchAll(/([^\s(]+)=\?/g)].map(([, column = '']) => column)
  // An index that is made for the statement, and one whose head is skipped, are read whole.
  const whole = verb === 'SCAN' || way.startsWith('AUTOMATIC') || way.includes('ANY(')
  return [{ loop: parent, at: id, table, whole, index, equal }]
}

/** Whether every fixed column is at the head of the index, or in the condition of a partial one. */
function isBounded({ index, equal }: TableAccess, shape: PageShape, indexes: readonly CatalogIndex[]): boolean {
  const { predicate = '' } = indexes.find(({ name }) => name === index) ?? {}
  if (index === undefined && equal.includes('rowid')) return true
  return shape.fixed.every(({ column }) => equal.includes(column) || mentions(predicate, column))
}

async function indexesOf({ driving }: PageShape, source: Source): Promise<CatalogIndex[]> {
  if (driving === undefined) return []
  const table = ValueNode.create(tableParts(driving.table).name)
  const rows = await catalogQuery(
    source,
    raw`select l.name as name, x.seqno as at, x.name as col, x."desc" as down, m.sql as def
      from pragma_index_list(${table}) l, pragma_index_xinfo(l.name) x left join sqlite_master m on m.name = l.name
      where x.key = 1`,
  )
  return byIndex(rows, (row) => ({
    name: (row.col ?? undefined) as string | undefined,
    descending: Number(row.down) === 1,
  })).map(({ name, columns, first }) => ({ name, columns, predicate: String(first.def ?? '').split(/\bwhere\b/i)[1] }))
}

/** Without the steps of subqueries: what a user selects beside the rows, or joins to them, is not the way to them. */
function withoutSubqueries(steps: readonly Step[]): Step[] {
  const hidden = new Set<number>()
  return steps.filter(({ id, parent, detail }) => {
    if (!hidden.has(parent) && !/SUBQUERY|^MATERIALIZE |^CO-ROUTINE /.test(detail)) return true
    hidden.add(id)
    return false
  })
}

function outline(steps: readonly Step[]): string {
  const depth = new Map<number, number>()
  return steps
    .map(({ id, parent, detail }) => {
      const level = (depth.get(parent) ?? -1) + 1
      depth.set(id, level)
      return `${'  '.repeat(level)}${detail}`
    })
    .join('\n')
}
