import { ValueNode } from 'kysely'
import { fixedPrefix, holdsAll, serves } from '../../shared/index-advice/index-need.ts'
import { type PlanNode, planIn } from '../../shared/index-advice/postgres-plan.ts'
import type { NamedTable } from '../../shared/index-advice/query-conditions.ts'
import { regclass, type TableIndex } from '../../shared/index-advice/table-indexes.ts'
import type { QueryRunner, Row } from '../seek/query-runner.ts'
import { raw } from '../seek/sql-nodes.ts'
import type { PageShape } from './page-shape.ts'
import { catalogQuery, drivingIndexes, fewRows, mostRows, type PlanReading, smallTableBytes } from './plan-reading.ts'

/** A node with the fields that only the reading of pages needs. */
interface ExplainedNode extends PlanNode {
  readonly 'Subplan Name'?: string
  readonly Filter?: string
  readonly 'Actual Rows'?: number
  readonly 'Actual Loops'?: number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Index Recheck'?: number
  readonly Plans?: readonly ExplainedNode[]
}

/**
 * Judgements on a part of the plan, the best first:
 *
 * - `limited`: it reads no more rows than the page has
 * - `served`: it reads from an index that fits the page (to sort a few rows from there may be cheaper than to read in
 *   order)
 * - `bounded`: it reads in order, within bounds
 * - `scan`: it reads other rows too
 * - `sort`: it sorts
 */
const verdicts = ['limited', 'served', 'bounded', 'scan', 'sort'] as const
type Verdict = (typeof verdicts)[number]

/** Reads the plan of PostgreSQL. Only the plan of `explain analyze` tells how many rows were read. */
export async function readPostgresPlan(
  rows: readonly Row[],
  shape: PageShape,
  runner: QueryRunner,
): Promise<PlanReading> {
  const root = planIn(rows) as ExplainedNode
  const { indexes, bytes } = await drivingIndexes(shape, runner)
  const scans: Scans = { shape, indexes, slowLookups: [], ownCount: 0, orderedRows: [] }
  const verdict = judge(root, scans)
  const serving = indexes.find((index) => holdsAll(index, shape) && serves(index, shape))?.name
  const reading = {
    plan: JSON.stringify(root, null, 2),
    isTableAbsent: scans.ownCount === 0,
    rowsRead: root['Actual Loops'] === undefined ? undefined : rowsReadBy(root),
  }
  const [slowLookup] = scans.slowLookups
  // The planner reads a small table whole and sorts its rows, whatever its indexes.
  const isSmall = serving !== undefined && slowLookup === undefined && bytes <= smallTableBytes
  if (isSmall || isSeek(verdict)) return { ...reading, access: 'seek' }
  const keepsMostRows = verdict === 'scan' && serving === undefined && (await keepsMost(scans, runner))
  return { ...reading, access: verdict === 'sort' ? 'sort' : 'scan', slowLookup, unusedIndex: serving, keepsMostRows }
}

/** Whether each scan of the page's table reads it in order, and keeps most of its rows. */
async function keepsMost({ shape, orderedRows, ownCount }: Scans, runner: QueryRunner): Promise<boolean> {
  const { schema, identifier } = (shape.driving as NamedTable).table.table
  if (orderedRows.length < ownCount) return false
  const name = ValueNode.create(regclass(schema?.name, identifier.name))
  const [row] = await catalogQuery(
    runner,
    raw`select reltuples::float8 as rows from pg_catalog.pg_class where oid = to_regclass(${name}::text)`,
  )
  return Math.max(...orderedRows) >= Number(row?.rows) * mostRows
}

function isSeek(verdict: Verdict): boolean {
  return verdict !== 'scan' && verdict !== 'sort'
}

/** The page's table, and the scans that were found in the plan so far. */
interface Scans {
  readonly shape: PageShape
  readonly indexes: readonly TableIndex[]
  /** Joined tables that are read whole. */
  readonly slowLookups: string[]
  /** How many scans read the page's table. */
  ownCount: number
  /** For each scan in the page's order, how many rows the filters are expected to keep. */
  readonly orderedRows: number[]
}

function judge(node: ExplainedNode, scans: Scans): Verdict {
  const type = node['Node Type']
  if (node['Relation Name'] !== undefined) return judgeScan(node, scans)
  const children = (node.Plans ?? []).filter(
    (child) => !['InitPlan', 'SubPlan'].includes(child['Parent Relationship'] as string) || isBranch(child),
  )
  const worst = children
    .map((child) => judge(child, scans))
    .reduce((a, b) => (verdicts.indexOf(a) > verdicts.indexOf(b) ? a : b), 'limited')
  if (type === 'Limit' && isSeek(worst)) return 'limited'
  if (!type.endsWith('Sort') || worst === 'limited') return worst
  return worst === 'served' && node['Plan Rows'] <= fewRows ? 'served' : 'sort'
}

/** Whether the plan is a branch of our own union. Such branches are common table expressions. */
function isBranch(plan: ExplainedNode): boolean {
  return /^CTE posthastes\d+$/.test(plan['Subplan Name'] as string)
}

function judgeScan(node: ExplainedNode, scans: Scans): Verdict {
  const { shape, indexes } = scans
  const { Alias: alias = '', Filter: filter } = node
  const name = node['Index Name'] ?? node.Plans?.[0]?.['Index Name']
  // PostgreSQL numbers the aliases in the branches of a union. But `users_2` may also be another table of the query.
  const isNamed = shape.tables.some((table) => table.name === alias)
  if ((isNamed ? alias : alias.replace(/_\d+$/, '')) !== shape.driving?.name) {
    // At the standard costs, 100 is about a hundred disk pages: so small a table may be read whole.
    if (name !== undefined || node['Total Cost'] <= 100) return 'limited'
    scans.slowLookups.push(alias)
    return 'scan'
  }
  scans.ownCount++
  const index = indexes.find((one) => one.name === name)
  if (index !== undefined && filter !== undefined && holdsAll(index, shape) && serves(index, { ...shape, fixed: [] }))
    scans.orderedRows.push(node['Plan Rows'])
  if (index === undefined || filter !== undefined) return 'scan'
  if (serves(index, shape)) return 'served'
  return fixedPrefix(index, shape) === undefined ? 'scan' : 'bounded'
}

/** The rows that the scans read, discarded ones included. */
function rowsReadBy(node: ExplainedNode): number {
  const below = (node.Plans ?? []).map(rowsReadBy).reduce((sum, rows) => sum + rows, 0)
  if (node['Relation Name'] === undefined) return below
  const each =
    (node['Actual Rows'] as number) +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Index Recheck'] ?? 0)
  return below + Math.round(each * (node['Actual Loops'] as number))
}
