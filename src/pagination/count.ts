import {
  AliasNode,
  ExplainNode,
  IdentifierNode,
  SelectionNode,
  type SelectQueryBuilder,
  type SelectQueryNode,
} from 'kysely'
import { parseMysqlDocument, type TablePlan } from '../shared/index-advice/mysql-document.ts'
import { firstStepOf } from '../shared/index-advice/mysql-plan-tree.ts'
import { type QueryNode, someNode } from '../shared/sql/query-tree.ts'
import type { SqlDialect } from '../shared/sql/statement.ts'
import { expectQuery } from './call-options.ts'
import { endClause, isAggregated, isGrouped, withoutComments } from './seek/clauses.ts'
import { asTable } from './seek/grouped-query.ts'
import { QueryRunner, untyped } from './seek/query-runner.ts'
import { rawText, sqlText, withLimit, withOnlyColumn } from './seek/sql-nodes.ts'
import type { Total, TotalKind } from './types.ts'

/**
 * The number of rows that the query returns: also when it is grouped, distinct, combined or limited, where counting the
 * rows of its tables would be wrong. Its order is left out.
 *
 * @example
 * ```ts
 * await countRows(db.selectFrom('orders').select('customer_id').distinct())
 * ```
 */
export async function countRows<DB, TB extends keyof DB, O>(query: SelectQueryBuilder<DB, TB, O>): Promise<number> {
  expectQuery(untyped(query))
  return countQuery(new QueryRunner(untyped(query)))
}

/** @param atMost - the number of rows after which counting stops */
export async function countQuery(runner: QueryRunner, signal?: AbortSignal, atMost?: number): Promise<number> {
  const [row] = await runner.rows((node) => countStatement(node, runner.dialect, atMost), signal)
  // A driver may rename columns.
  return Number(Object.values(row ?? {})[0])
}

export interface FoundTotal {
  readonly total: number
  readonly totalIs: TotalKind
}

/** Up to this total, `'estimate'` counts; beyond it, it asks the planner. */
const countedUpTo = 10_000

/** @param proven - the total, if the page shows it: then no statement is sent */
export async function findTotal(
  runner: QueryRunner,
  total: Total,
  proven: number | undefined,
  signal: AbortSignal | undefined,
): Promise<FoundTotal> {
  if (typeof total === 'object' && 'known' in total) return { total: total.known, totalIs: 'exact' }
  if (proven !== undefined) return { total: proven, totalIs: 'exact' }
  if (total === 'exact') return { total: await countQuery(runner, signal), totalIs: 'exact' }
  const cap = typeof total === 'object' ? total.atMost : countedUpTo
  const counted = await countQuery(runner, signal, cap + 1)
  if (counted <= cap) return { total: counted, totalIs: 'exact' }
  if (typeof total === 'object') return { total: cap, totalIs: 'capped' }
  const estimated = await estimateRows(runner, signal)
  if (estimated === undefined) return { total: await countQuery(runner, signal), totalIs: 'exact' }
  return { total: Math.max(estimated, counted), totalIs: 'estimate' }
}

/** The fields of `pagination` about the total, in the order of the JSON document. */
export function totalFields(found: FoundTotal, total: Total, perPage: number): object {
  const totalPages = Math.ceil(found.total / perPage)
  const hasKind = total === 'estimate' || (typeof total === 'object' && 'atMost' in total)
  return { total: found.total, totalPages, ...(hasKind ? { totalIs: found.totalIs } : {}) }
}

const one = /* @__PURE__ */ sqlText('1 as x')
const countAll = /* @__PURE__ */ sqlText('count(*) as phc')
const countBig = /* @__PURE__ */ sqlText('count_big(*) as phc')

function countStatement(node: SelectQueryNode, dialect: SqlDialect, atMost?: number): SelectQueryNode {
  const rows = countable(node, dialect)
  const counted = atMost === undefined ? rows : asTable(withLimit(withOnlyColumn(rows, one), dialect, atMost))
  return withOnlyColumn(counted, dialect === 'mssql' ? countBig : countAll)
}

/** A query that returns as many rows as the node. Its columns may differ. */
function countable(node: SelectQueryNode, dialect?: SqlDialect): SelectQueryNode {
  if (node.fetch || node.endModifiers?.some(({ rawModifier }) => endClause(rawModifier) !== undefined)) {
    return asTable(node)
  }
  const { orderBy: _order, endModifiers: _lock, ...unordered } = node
  // On SQLite, a condition may name a column of the result. If it does not, the columns are not computed.
  const mayNeedColumns = dialect === 'sqlite' && node.where && !isGrouped(node)
  if (mayNeedColumns || isAggregated(node)) return asTable(hasBounds(node) ? node : unordered)
  const calls = callsOf(node)
  if (calls.length > 0) return asTable({ ...unordered, selections: calls })
  return hasBounds(node) ? asTable(withOnlyColumn(unordered, one)) : unordered
}

function hasBounds({ limit, offset, top }: SelectQueryNode): boolean {
  return (limit ?? offset ?? top) !== undefined
}

/**
 * The selected expressions that call a function. A function may make one row of all rows, or several of one: raw SQL does
 * not show it, and users write functions of their own. A call that does neither costs nothing, because its column is not
 * computed.
 */
function callsOf({ selections = [] }: SelectQueryNode): SelectionNode[] {
  const calls = selections.flatMap(({ selection }) => {
    const isCall = AliasNode.is(selection) && someNode(selection.node, mayCall)
    return isCall ? [selection.node] : []
  })
  return calls.map((call, at) => SelectionNode.create(AliasNode.create(call, IdentifierNode.create(`posthasteg${at}`))))
}

/** The name of a function in raw SQL may be a node of its own, such as `sql.id(name)`: `rawText` writes that as `?`. */
function mayCall(node: QueryNode): boolean {
  return (
    node.kind === 'FunctionNode' ||
    (node.kind === 'RawNode' && /[\w"`\]?]\s*\(/.test(withoutComments(rawText(node as never))))
  )
}

/** The number of rows that the planner expects; `undefined` where no plan says it. */
async function estimateRows(runner: QueryRunner, signal?: AbortSignal): Promise<number | undefined> {
  const { dialect } = runner
  if (dialect !== 'postgres' && dialect !== 'mysql') return undefined
  const explain = dialect === 'mysql' ? ExplainNode.create('json') : ExplainNode.create()
  const rows = await runner
    .rows((node) => ({ ...withOnlyColumn(countable(node), one), explain }), signal)
    .catch((error) => {
      if (isViewHidden(error)) return []
      throw error
    })
  const plan = rows[0] && Object.values(rows[0])[0]
  return dialect === 'mysql' ? rowsOfMysqlPlan(plan) : rowsOfPostgresPlan(plan)
}

/** Whether MariaDB or MySQL explains no view, because the user has no rights on its tables. */
function isViewHidden(error: unknown): boolean {
  return (error as { readonly errno?: unknown } | null)?.errno === 1345
}

/** Reads the first line of the plan: `Seq Scan on users  (cost=0.00..1.01 rows=240000 width=4)`. */
function rowsOfPostgresPlan(plan: unknown): number | undefined {
  const rows = /\brows=(\d+)/.exec(String(plan))?.[1]
  return rows === undefined ? undefined : Number(rows)
}

/**
 * The rows of the first step. Version 1 of MySQL's JSON has no steps: there, the rows of the tables that the outermost
 * block joins are multiplied.
 */
function rowsOfMysqlPlan(plan: unknown): number | undefined {
  const document = parseMysqlDocument(plan)
  const step = firstStepOf(document)
  if (step !== undefined) return step.estimated_rows === undefined ? undefined : Math.round(step.estimated_rows)
  const tables: TablePlan[] = []
  collectTables(Object(document).query_block, tables)
  if (tables.length === 0) return undefined
  const product = tables.reduce(
    (total, { rows, rows_examined_per_scan: examined, filtered = 100 }) =>
      total * (rows ?? examined ?? 1) * (Number(filtered) / 100),
    1,
  )
  return Math.round(product)
}

function collectTables(part: unknown, tables: TablePlan[]): void {
  if (typeof part !== 'object' || part === null) return
  for (const [name, value] of Object.entries(part)) {
    if (name === 'table') tables.push(value as TablePlan)
    // If the joined table has no index, MariaDB does not know how many of its rows match. Assume one, as for most foreign
    // keys.
    else if (name === 'block-nl-join' && value.attached_condition) tables.push({ ...value.table, rows: 1 })
    else if (!name.includes('subquer')) collectTables(value, tables)
  }
}
