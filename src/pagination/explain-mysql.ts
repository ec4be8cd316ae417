import { ValueNode } from 'kysely'
import type { PageShape } from './advice.ts'
import { byIndex, catalogQuery, tableParts } from './explain-catalog.ts'
import { type CatalogIndex, fewRows, fixedPrefix, type PlanReading, serves, smallTable } from './explain-plan.ts'
import { raw } from './raw.ts'
import type { Row, Source } from './source.ts'

/** A table in the JSON of `explain`, wherever it stands there. */
interface TablePlan {
  readonly table_name: string
  readonly access_type: string
  readonly key?: string
  readonly rows?: number
  readonly rows_examined_per_scan?: number
  readonly r_rows?: number | null
  readonly r_loops?: number
}

/** Reads the plan of MariaDB or MySQL; the rows read are the counters of MariaDB's `analyze`. */
export async function readMysqlPlan(
  rows: readonly Row[],
  shape: PageShape,
  source: Source,
  hasCursor: boolean,
): Promise<PlanReading> {
  const value = Object.values(rows[0] as Row)[0]
  const document: unknown = typeof value === 'string' ? JSON.parse(value) : value
  const { tables, sorts } = walk(document)
  const { indexes, bytes } = await indexesOf(shape, source)
  const own = tables.filter((table) => table.table_name === shape.driving?.name)
  // Around the loop of the rows it is no lookup.
  const inner = tables.slice(tables.findIndex((table) => own.includes(table)))
  const slow = inner.find((table) => !own.includes(table) && isSlowLookup(table))?.table_name
  const serving = indexes.filter((index) => serves(index, shape)).map(({ name }) => name)
  const bounded = own.every((table) => isBounded(table, shape, indexes, hasCursor))
  // The planner may sort a few rows of the right index, if that is cheaper.
  const served = bounded && own.every((table) => serving.includes(table.key as string) && rowsOf(table) <= fewRows)
  const reading = { plan: JSON.stringify(document, null, 2), absent: own.length === 0, rowsRead: rowsReadBy(tables) }
  // A small table is read whole, and its rows sorted, whatever its indexes.
  const small = serving.length > 0 && bytes <= smallTable
  if (slow === undefined && (small || served || (bounded && !sorts))) return { ...reading, access: 'seek' }
  return { ...reading, access: sorts && !small ? 'sort' : 'scan', slowLookup: slow, unused: serving[0] }
}

/** Tables and sorts, those of subqueries left out. */
function walk(
  node: unknown,
  found: { tables: TablePlan[]; sorts: boolean } = { tables: [], sorts: false },
): typeof found {
  if (typeof node !== 'object' || node === null) return found
  if ('table_name' in node) found.tables.push(node as TablePlan)
  for (const [name, value] of Object.entries(node)) {
    if (/subquer/.test(name)) continue
    if (name === 'filesort' || ((name === 'using_filesort' || name === 'using_temporary_table') && value === true))
      found.sorts = true
    walk(value, found)
  }
  return found
}

/** Without a bound of its own, an index in the order of the page is read from its start. */
function isBounded(
  { access_type: type, key }: TablePlan,
  shape: PageShape,
  indexes: readonly CatalogIndex[],
  hasCursor: boolean,
): boolean {
  const index = indexes.find(({ name }) => name === key)
  if (index === undefined || fixedPrefix(index, shape) === undefined) return false
  if (type === 'index') return shape.fixed.length === 0 && !hasCursor
  return ['range', 'ref', 'eq_ref', 'const', 'ref_or_null'].includes(type)
}

function isSlowLookup(table: TablePlan): boolean {
  return (table.access_type === 'ALL' || table.access_type === 'index') && rowsOf(table) > 1_000
}

/** The rows that the planner expects to read: MariaDB's name for them, or MySQL's. */
function rowsOf({ rows, rows_examined_per_scan: examined }: TablePlan): number {
  return rows ?? examined ?? 0
}

function rowsReadBy(tables: readonly TablePlan[]): number | undefined {
  const counted = tables.filter((table) => table.r_loops !== undefined)
  if (counted.length === 0) return undefined
  return counted.reduce((sum, { r_rows: rows, r_loops: loops = 0 }) => sum + Math.round((rows ?? 0) * loops), 0)
}

async function indexesOf({ driving }: PageShape, source: Source): Promise<{ indexes: CatalogIndex[]; bytes: number }> {
  if (driving === undefined) return { indexes: [], bytes: Number.POSITIVE_INFINITY }
  const { schema, name } = tableParts(driving.table)
  const place = raw`table_schema = coalesce(${ValueNode.create(schema ?? null)}, database()) and table_name = ${ValueNode.create(name)}`
  const rows = await catalogQuery(
    source,
    raw`select index_name as name, seq_in_index as at, collation as dir,
      case when sub_part is null then column_name end as col,
      (select data_length from information_schema.tables where ${place}) as bytes
      from information_schema.statistics where ${place}`,
  )
  const found = byIndex(rows, (row) => ({
    name: (row.col ?? undefined) as string | undefined,
    descending: row.dir === 'D',
  }))
  const primary = found.find(({ name }) => name === 'PRIMARY')?.columns ?? []
  // Every index of InnoDB ends in the primary key.
  const indexes = found.map(({ name, columns }) => ({ name, columns: [...columns, ...primary] }))
  return { indexes, bytes: Number(rows[0]?.bytes ?? Number.POSITIVE_INFINITY) }
}
