import { ValueNode } from 'kysely'
import type { PageShape } from './advice.ts'
import { byIndex, catalogQuery, tableParts } from './explain-catalog.ts'
import {
  type CatalogIndex,
  fewRows,
  fixedPrefix,
  holdsAll,
  type PlanReading,
  serves,
  smallTable,
} from './explain-plan.ts'
import { raw } from './raw.ts'
import type { Row, Source } from './source.ts'

/** A node of `explain (format json)`. */
interface PlanNode {
  readonly 'Node Type': string
  readonly 'Parent Relationship'?: string
  readonly 'Subplan Name'?: string
  readonly 'Relation Name'?: string
  readonly Alias?: string
  readonly 'Index Name'?: string
  readonly Filter?: string
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
  readonly 'Actual Rows'?: number
  readonly 'Actual Loops'?: number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Index Recheck'?: number
  readonly Plans?: readonly PlanNode[]
}

/**
 * What a part of the plan does, the best first: read no more rows than the page has, read from an index that serves the
 * page (then the planner may sort a few rows of it, if that is cheaper), read in order within bounds, read more, sort.
 */
const verdicts = ['limited', 'served', 'bounded', 'scan', 'sort'] as const
type Verdict = (typeof verdicts)[number]

/** Reads the plan of PostgreSQL; the rows read are its own counters (`analyze`). */
export async function readPostgresPlan(rows: readonly Row[], shape: PageShape, source: Source): Promise<PlanReading> {
  const [{ Plan: root }] = parsed(Object.values(rows[0] as Row)[0]) as [{ Plan: PlanNode }]
  const { indexes, bytes } = await indexesOf(shape, source)
  const found: Found = { shape, indexes, slow: [], own: 0 }
  const verdict = judge(root, found)
  const serving = indexes.find((index) => holdsAll(index, shape) && serves(index, shape))?.name
  const reading = {
    plan: JSON.stringify(root, null, 2),
    absent: found.own === 0,
    rowsRead: root['Actual Loops'] === undefined ? undefined : readBy(root),
  }
  const [slowLookup] = found.slow
  // A small table is read whole, and its rows sorted, whatever its indexes.
  const small = serving !== undefined && slowLookup === undefined && bytes <= smallTable
  if (small || isSeek(verdict)) return { ...reading, access: 'seek' }
  return { ...reading, access: verdict === 'sort' ? 'sort' : 'scan', slowLookup, unused: serving }
}

function isSeek(verdict: Verdict): boolean {
  return verdict !== 'scan' && verdict !== 'sort'
}

/** What is known of the table, and what the walk over the plan finds. */
interface Found {
  readonly shape: PageShape
  readonly indexes: readonly CatalogIndex[]
  /** Joined tables that are read whole. */
  readonly slow: string[]
  /** How often the table itself is read. */
  own: number
}

function judge(node: PlanNode, found: Found): Verdict {
  const type = node['Node Type']
  if (node['Relation Name'] !== undefined) return judgeScan(node, found)
  const children = (node.Plans ?? []).filter(
    (child) => !['InitPlan', 'SubPlan'].includes(child['Parent Relationship'] as string) || isArm(child),
  )
  const worst = children
    .map((child) => judge(child, found))
    .reduce((a, b) => (verdicts.indexOf(a) > verdicts.indexOf(b) ? a : b), 'limited')
  if (type === 'Limit' && isSeek(worst)) return 'limited'
  if (!type.endsWith('Sort') || worst === 'limited') return worst
  return worst === 'served' && node['Plan Rows'] <= fewRows ? 'served' : 'sort'
}

/** Whether the plan is of an arm of the page's own, as a common table expression. */
function isArm(plan: PlanNode): boolean {
  return /^CTE phs\d+$/.test(plan['Subplan Name'] as string)
}

function judgeScan(node: PlanNode, found: Found): Verdict {
  const { shape, indexes } = found
  const { Alias: alias = '', Filter: filter } = node
  const name = node['Index Name'] ?? node.Plans?.[0]?.['Index Name']
  // The branches of a union are numbered.
  if (alias.replace(/_\d+$/, '') !== shape.driving?.name && alias !== shape.driving?.name) {
    // A hundred pages at the standard costs; a smaller table may be read whole.
    if (name !== undefined || node['Total Cost'] <= 100) return 'limited'
    found.slow.push(alias)
    return 'scan'
  }
  found.own++
  const index = indexes.find((one) => one.name === name)
  if (index === undefined || filter !== undefined) return 'scan'
  if (serves(index, shape)) return 'served'
  return fixedPrefix(index, shape) === undefined ? 'scan' : 'bounded'
}

async function indexesOf({ driving }: PageShape, source: Source): Promise<{ indexes: CatalogIndex[]; bytes: number }> {
  if (driving === undefined) return { indexes: [], bytes: Number.POSITIVE_INFINITY }
  const { schema, name } = tableParts(driving.table)
  const quoted = [schema, name]
    .flatMap((part) => (part === undefined ? [] : `"${part.replaceAll('"', '""')}"`))
    .join('.')
  const rows = await catalogQuery(
    source,
    raw`select pg_relation_size(i.indrelid)::float8 as bytes, c.relname as name, k as at, i.indoption[k - 1]::int as opts,
      pg_get_expr(i.indpred, i.indrelid) as pred,
      (select attname from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[k - 1]) as col
      from pg_index i join pg_class c on c.oid = i.indexrelid, generate_series(1, i.indnkeyatts) k
      where i.indrelid = to_regclass(${ValueNode.create(quoted)}::text) and i.indisvalid`,
  )
  const indexes = byIndex(rows, (row) => ({
    name: (row.col ?? undefined) as string | undefined,
    // The flags of pg_index.indoption.
    descending: (Number(row.opts) & 1) === 1,
    nullsFirst: (Number(row.opts) & 2) === 2,
  })).map(({ name, columns, first }) => ({ name, columns, predicate: (first.pred ?? undefined) as string | undefined }))
  return { indexes, bytes: Number(rows[0]?.bytes ?? Number.POSITIVE_INFINITY) }
}

/** Rows that the scans read, those that they threw away included. */
function readBy(node: PlanNode): number {
  const below = (node.Plans ?? []).map(readBy).reduce((sum, rows) => sum + rows, 0)
  if (node['Relation Name'] === undefined) return below
  const each =
    (node['Actual Rows'] as number) +
    (node['Rows Removed by Filter'] ?? 0) +
    (node['Rows Removed by Index Recheck'] ?? 0)
  return below + Math.round(each * (node['Actual Loops'] as number))
}

/** Drivers parse JSON, or leave it to their users. */
function parsed(value: unknown): unknown {
  return typeof value === 'string' ? JSON.parse(value) : value
}
