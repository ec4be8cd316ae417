import type { SelectQueryNode, TableNode } from 'kysely'
import type { AdvisorDatabase } from './advisor-database.ts'
import { type IndexCandidate, indexCandidates } from './index-candidates.ts'
import { indexFor } from './index-definition.ts'
import { holdsAll, serves, unindexable } from './index-need.ts'
import { mysqlShare, readMysqlPlan } from './mysql-estimate.ts'
import { postgresShare, readPostgresPlan } from './postgres-estimate.ts'
import {
  isWastefulOnSqlite,
  proveOnSqlite,
  readSqlitePlan,
  readSqliteSchema,
  savesLittleOnSqlite,
} from './sqlite-proof.ts'
import { indexesOf, type TableIndexes } from './table-indexes.ts'

/** An index that would make a query faster. */
interface AdvisedIndex {
  readonly table: string
  readonly name: string
  readonly columns: readonly string[]
  readonly kysely: string
  readonly ddl: string
  /** Whether SQLite's planner has chosen the index in a copy of the schema. */
  readonly proven: boolean
  /** The plan with the index, when `proven`. */
  readonly after?: string | undefined
}

/** With the index, a query must cost at most this share of its cost. */
const worthwhileShare = 0.45

/**
 * Finds the index with which the query costs least, if it then costs less than half. For SQLite, it asks the planner. For
 * the other databases, it imitates the planner with the planner's own estimates and formulas.
 */
export async function adviseIndex(
  query: SelectQueryNode,
  database: AdvisorDatabase,
): Promise<AdvisedIndex | undefined> {
  const candidates: IndexCandidate[] = []
  const tables = new Map<TableNode, TableIndexes>()
  for (const candidate of indexCandidates(query, database.dialect)) {
    const node = candidate.table.table
    const table = tables.get(node) ?? (await indexesOf(database.dialect, node, database.read))
    tables.set(node, table)
    const isServed = table.indexes.some((index) => holdsAll(index, candidate) && serves(index, candidate))
    if (!isServed && unindexable(table, candidate) === undefined) candidates.push(candidate)
  }
  if (candidates.length === 0) return undefined
  return database.dialect === 'sqlite'
    ? await adviseOnSqlite(query, candidates, database)
    : await adviseByEstimate(query, candidates, database)
}

async function adviseByEstimate(
  query: SelectQueryNode,
  candidates: readonly IndexCandidate[],
  database: AdvisorDatabase,
): Promise<AdvisedIndex | undefined> {
  const shareOf = await estimator(query, database)
  let best: { readonly candidate: IndexCandidate; readonly share: number } | undefined
  for (const candidate of candidates) {
    const share = await shareOf(candidate)
    if (share <= worthwhileShare && (best === undefined || share < best.share * 0.9)) best = { candidate, share }
  }
  return best && { ...advised(best.candidate, database), proven: false }
}

async function estimator(
  query: SelectQueryNode,
  database: AdvisorDatabase,
): Promise<(candidate: IndexCandidate) => Promise<number>> {
  if (database.dialect === 'postgres') {
    const plan = await readPostgresPlan(query, database)
    return (candidate) => postgresShare(candidate, query, plan, database)
  }
  const plan = await readMysqlPlan(query, database)
  return (candidate) => mysqlShare(candidate, query, plan, database)
}

async function adviseOnSqlite(
  query: SelectQueryNode,
  candidates: readonly IndexCandidate[],
  database: AdvisorDatabase,
): Promise<AdvisedIndex | undefined> {
  const plan = await readSqlitePlan(query, database)
  const wasteful = candidates.filter((candidate) => isWastefulOnSqlite(plan, candidate))
  if (wasteful.length === 0) return undefined
  const schema = await readSqliteSchema(database)
  for (const candidate of wasteful) {
    if (await savesLittleOnSqlite(candidate, plan, database)) continue
    const advice = advised(candidate, database)
    const proof = await proveOnSqlite(schema, database.compile(query), advice)
    if (proof === undefined) return { ...advice, proven: false }
    if (proof.isUsed) return { ...advice, proven: true, after: proof.after }
  }
  return undefined
}

function advised(candidate: IndexCandidate, { dialect, compile }: AdvisorDatabase) {
  const { name, columns, statement, kyselyColumns } = indexFor(candidate, dialect)
  const { schema, identifier } = candidate.table.table.table
  const ddl = compile(statement)
  const on = schema === undefined ? identifier.name : `${schema.name}.${identifier.name}`
  const list = kyselyColumns?.map((column) => `'${column}'`).join(', ')
  const kysely =
    list === undefined
      ? `sql\`${ddl.replace(/[`\\]|\$\{/g, '\\$&')}\`.execute(db)`
      : `db.schema.createIndex('${name}').on('${on}').columns([${list}]).execute()`
  return { table: identifier.name, name, columns: columns.map(String), kysely, ddl }
}
