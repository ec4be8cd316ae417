import { ExplainNode, type SelectQueryNode } from 'kysely'
import { derived, isAggregated } from './grouped.ts'
import { limited, only } from './parts.ts'
import { constant } from './raw.ts'
import type { Source } from './source.ts'
import type { SqlDialect } from './types.ts'

/**
 * The number of rows of the source's query.
 *
 * @param atMost - where to stop counting
 */
export async function countSource(source: Source, signal?: AbortSignal, atMost?: number): Promise<number> {
  const [row] = await source.run((node) => countStatement(node, source.dialect, atMost), signal)
  return Number(row?.phc)
}

/** The number of rows that the planner expects, and `undefined` where it does not tell. */
export async function estimateSource(source: Source, signal?: AbortSignal): Promise<number | undefined> {
  if (source.dialect !== 'postgres' && source.dialect !== 'mysql') return undefined
  const explain = source.dialect === 'mysql' ? ExplainNode.create('json') : ExplainNode.create()
  const rows = await source.run((node) => ({ ...only(countable(node), one), explain }), signal)
  const plan = rows[0] && Object.values(rows[0])[0]
  return source.dialect === 'mysql' ? mysqlRows(plan) : postgresRows(plan)
}

const one = constant('1 as x')
const countAll = constant('count(*) as phc')
const countBig = constant('count_big(*) as phc')

function countStatement(node: SelectQueryNode, dialect: SqlDialect, atMost?: number): SelectQueryNode {
  const count = dialect === 'mssql' ? countBig : countAll
  if (atMost === undefined) return only(countable(node), count)
  return only(derived(limited(only(countable(node), one), dialect, atMost)), count)
}

/** A query of as many rows as the node's, whatever it selects. */
function countable(node: SelectQueryNode): SelectQueryNode {
  if (node.limit ?? node.offset ?? node.fetch ?? node.top) return derived(node)
  const { orderBy: _order, endModifiers: _lock, ...unordered } = node
  return isAggregated(node) ? derived(unordered) : unordered
}

/** The first line of the plan: `Seq Scan on users  (cost=0.00..1.01 rows=240000 width=4)`. */
function postgresRows(plan: unknown): number | undefined {
  const rows = /\brows=(\d+)/.exec(String(plan))?.[1]
  return rows === undefined ? undefined : Number(rows)
}

interface MysqlTable {
  readonly rows?: number
  readonly rows_examined_per_scan?: number
  readonly filtered?: number | string
}

/** The tables of the outermost block, joined: each has its rows and the share of them that its conditions keep. */
function mysqlRows(plan: unknown): number | undefined {
  const tables: MysqlTable[] = []
  const block = (typeof plan === 'string' ? JSON.parse(plan) : plan)?.query_block
  collectTables(block, tables)
  if (tables.length === 0) return undefined
  const product = tables.reduce(
    (total, { rows, rows_examined_per_scan: examined, filtered = 100 }) =>
      total * (rows ?? examined ?? 1) * (Number(filtered) / 100),
    1,
  )
  return Math.round(product)
}

function collectTables(part: unknown, tables: MysqlTable[]): void {
  if (typeof part !== 'object' || part === null) return
  for (const [name, value] of Object.entries(part)) {
    if (name === 'table') tables.push(value as MysqlTable)
    else if (!name.includes('subquer')) collectTables(value, tables)
  }
}
