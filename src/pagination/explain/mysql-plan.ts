import { fixedPrefix, serves, unindexable } from '../../shared/index-advice/index-need.ts'
import { findTables, parseMysqlDocument, type TablePlan } from '../../shared/index-advice/mysql-document.ts'
import type { TableIndex } from '../../shared/index-advice/table-indexes.ts'
import { QueryUnsupportedError } from '../errors.ts'
import type { QueryRunner, Row } from '../seek/query-runner.ts'
import type { PageShape } from './page-shape.ts'
import { drivingIndexes, fewRows, type PlanReading, smallTableBytes } from './plan-reading.ts'

/** Reads the plan of MariaDB or MySQL. Only `analyze` of MariaDB counts the rows that were read. */
export async function readMysqlPlan(
  rows: readonly Row[],
  shape: PageShape,
  runner: QueryRunner,
  hasCursor: boolean,
): Promise<PlanReading> {
  const document = parseMysqlDocument(Object.values(rows[0] as Row)[0])
  if (document === undefined) {
    throw new QueryUnsupportedError(
      'MariaDB wrote a plan that is no JSON, because of a text in the conditions of the query',
    )
  }
  const { tables, hasSort } = findTables(document)
  const table = await drivingIndexes(shape, runner)
  const { indexes, bytes } = table
  const own = tables.filter((table) => table.table_name === shape.driving?.name)
  // A table that is read before the page's table is not looked up once per row.
  const inner = tables.slice(tables.findIndex((table) => own.includes(table)))
  const slowLookup = inner.find((table) => !own.includes(table) && isSlowLookup(table))?.table_name
  const serving = indexes.filter((index) => serves(index, shape)).map(({ name }) => name)
  const isBoundedScan = own.every((table) => isBounded(table, shape, indexes, hasCursor))
  // The planner may sort a few rows of the right index, if that is cheaper.
  const isServed =
    isBoundedScan && own.every((table) => serving.includes(table.key as string) && rowsOf(table) <= fewRows)
  const reading = {
    plan: JSON.stringify(document, null, 2),
    isTableAbsent: own.length === 0 && !tables.some(({ table_name: name }) => name === undefined),
    rowsRead: rowsReadBy(tables),
    unindexable: unindexable(table, shape),
  }
  // The planner reads a small table whole and sorts its rows, whatever its indexes.
  const isSmall = serving.length > 0 && bytes <= smallTableBytes
  if (slowLookup === undefined && (isSmall || isServed || (isBoundedScan && !hasSort)))
    return { ...reading, access: 'seek' }
  return { ...reading, access: hasSort && !isSmall ? 'sort' : 'scan', slowLookup, unusedIndex: serving[0] }
}

/** Whether the scan has a bound. Without one, it starts at the head of the index. */
function isBounded(
  { access_type: type, key }: TablePlan,
  shape: PageShape,
  indexes: readonly TableIndex[],
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

/** The rows that the planner expects to read: `rows` in MariaDB, `rows_examined_per_scan` in MySQL. */
function rowsOf({ rows, rows_examined_per_scan: examined }: TablePlan): number {
  return rows ?? examined ?? 0
}

function rowsReadBy(tables: readonly TablePlan[]): number | undefined {
  const counted = tables.filter((table) => table.r_loops !== undefined)
  if (counted.length === 0) return undefined
  return counted.reduce((sum, { r_rows: rows, r_loops: loops = 0 }) => sum + Math.round((rows ?? 0) * loops), 0)
}
