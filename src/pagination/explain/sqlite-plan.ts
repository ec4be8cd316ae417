import { holdsAll, mentions, serves } from '../../shared/index-advice/index-need.ts'
import type { NamedTable } from '../../shared/index-advice/query-conditions.ts'
import type { TableIndex } from '../../shared/index-advice/table-indexes.ts'
import type { QueryRunner, Row } from '../seek/query-runner.ts'
import type { ResolvedQuery } from '../seek/sort-keys.ts'
import type { PageShape } from './page-shape.ts'
import { drivingIndexes, type PlanReading } from './plan-reading.ts'

/** A row of `explain query plan` (https://sqlite.org/eqp.html). */
interface Step {
  readonly id: number
  readonly parent: number
  readonly detail: string
}

/** Reads the plan of SQLite, which does not count rows. */
export async function readSqlitePlan(
  rows: readonly Row[],
  shape: PageShape,
  { keys }: ResolvedQuery,
  runner: QueryRunner,
): Promise<PlanReading> {
  const steps = rows as unknown as readonly Step[]
  const main = withoutSubqueries(steps)
  const named = [...(shape.driving === undefined ? [] : [shape.driving]), ...shape.lookups.map(({ table }) => table)]
  const accesses = main.flatMap((step) => accessOf(step, named))
  const own = accesses.filter(({ table }) => table === shape.driving?.name)
  const slowLookup = accesses.find((access) => {
    // A table in another loop, or outside the loop of the page's rows, is not looked up once per row.
    return access.isWhole && !own.includes(access) && own.some(({ loop, at }) => loop === access.loop && at < access.at)
  })?.table
  const { indexes } = await drivingIndexes(shape, runner)
  const unusedIndex = indexes.find((index) => holdsAll(index, shape) && serves(index, shape))?.name
  const reading = { plan: outline(steps), isTableAbsent: own.length === 0, slowLookup, unusedIndex }
  if (main.some(({ detail }) => /^USE TEMP B-TREE FOR .*ORDER BY/.test(detail))) return { access: 'sort', ...reading }
  // Even if a column cannot have NULLs, its branch for NULLs is a scan in the plan. That branch never runs.
  const idleCount =
    own.length > 1 ? keys.filter((key) => !key.isNullable && !key.isUnique && key.nulls === 'last').length : 0
  const working = own.filter(
    ({ isWhole }, at) => !isWhole || own.slice(0, at + 1).filter((one) => one.isWhole).length > idleCount,
  )
  const areBounded = working.every(
    (access) => isBounded(access, shape, indexes) && (own.length === 1 || !access.isWhole),
  )
  return { access: areBounded && slowLookup === undefined ? 'seek' : 'scan', ...reading }
}

interface TableAccess {
  readonly loop: number
  readonly at: number
  readonly table: string
  readonly isWhole: boolean
  readonly index: string | undefined
  /** The columns that are compared for equality at the head of the index. */
  readonly equal: readonly string[]
}

function accessOf({ id, parent, detail }: Step, named: readonly NamedTable[]): TableAccess[] {
  const match = /^(SEARCH|SCAN) (.+?)(?: USING (.+?))?(?: LEFT-JOIN)?$/.exec(detail)
  if (match === null) return []
  const [, verb, shown = '', way = ''] = match
  // The plan has the schema of a table where the query has it.
  const table = named.find(({ name, table }) => shown === `${table.table.schema?.name}.${name}`)?.name ?? shown
  const index = /^(?:COVERING )?INDEX (.+?)(?: \(.*)?$/.exec(way)?.[1]
  const terms = /\((.+)\)(?: LEFT-JOIN)?$/.exec(detail)?.[1]?.split(' AND ') ?? []
  const equal = terms.filter((term) => term.endsWith('=?')).map((term) => term.slice(0, -2))
  // SQLite also reads a whole index if it builds the index for this statement, or skips the index's first columns.
  const isWhole = verb === 'SCAN' || way.startsWith('AUTOMATIC') || way.includes('ANY(')
  return [{ loop: parent, at: id, table, isWhole, index, equal }]
}

/** Whether every fixed column is at the head of the index, or in the condition of a partial one. */
function isBounded({ index, equal }: TableAccess, shape: PageShape, indexes: readonly TableIndex[]): boolean {
  const { predicate = '' } = indexes.find(({ name }) => name === index) ?? {}
  if (index === undefined && equal.includes('rowid')) return true
  return shape.fixed.every(({ column }) => equal.includes(column) || mentions(predicate, column))
}

/** Leaves out the steps of subqueries, which the user selects or joins: they do not show how the rows are read. */
function withoutSubqueries(steps: readonly Step[]): Step[] {
  const excluded = new Set<number>()
  return steps.filter(({ id, parent, detail }) => {
    if (!excluded.has(parent) && !/SUBQUERY|^MATERIALIZE |^CO-ROUTINE /.test(detail)) return true
    excluded.add(id)
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
