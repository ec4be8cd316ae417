import { type RawNode, type SelectQueryNode, ValueNode } from 'kysely'
import { type AdvisorDatabase, allOf, derived, raw } from './advisor-database.ts'
import type { IndexCandidate } from './index-candidates.ts'
import { escapePattern } from './index-need.ts'
import type { NamedTable } from './query-conditions.ts'

/** What SQLite's planner knows of a database: definitions and the statistics of ANALYZE, but no rows. */
interface SqliteSchema {
  readonly definitions: readonly string[]
  readonly statistics: readonly { readonly tbl: string; readonly idx: string | null; readonly stat: string }[]
}

export async function readSqliteSchema({ read }: AdvisorDatabase): Promise<SqliteSchema> {
  const definitions = await read(
    raw`select sql from sqlite_master where sql is not null and name not like 'sqlite_%' and type in ('table', 'index', 'view') order by type = 'table' desc`,
  )
  const analyzed = await read(raw`select 1 from sqlite_master where name = 'sqlite_stat1'`)
  const statistics = analyzed.length === 0 ? [] : await read(raw`select tbl, idx, stat from sqlite_stat1`)
  return {
    definitions: definitions.map(({ sql }) => String(sql)),
    statistics: statistics as unknown as SqliteSchema['statistics'],
  }
}

/** The steps of the plan, one per line. */
export async function readSqlitePlan(query: SelectQueryNode, { read }: AdvisorDatabase): Promise<string> {
  const rows = await read({ ...query, explain: raw`explain query plan` as never })
  return rows.map(({ detail }) => String(detail)).join('\n')
}

/** Whether the plan reads the table whole, or sorts rows, where the index would prevent it. */
export function isWastefulOnSqlite(plan: string, { table, joinedBy, keys, isOrdered }: IndexCandidate): boolean {
  const lines = plan.split('\n')
  const at = lines.findIndex((line) => new RegExp(`^(?:SCAN|SEARCH) ${inPlan(table)}(?: |$)`).test(line))
  const line = lines[at]
  if (line === undefined) return false
  const isFirst = lines.findIndex((one) => /^(?:SCAN|SEARCH) /.test(one)) === at
  const isWhole = line.startsWith('SCAN') || line.includes('USING AUTOMATIC')
  if (joinedBy.length > 0) return isWhole && !isFirst
  return isWhole || (isOrdered && keys.length > 0 && isFirst && isSorted(plan))
}

/** A pattern for the table in a plan, which has its schema where the query has it. */
function inPlan({ name, table }: NamedTable): string {
  const schema = table.table.schema?.name
  return schema === undefined ? escapePattern(name) : `(?:${escapePattern(schema)}\\.)?${escapePattern(name)}`
}

/** So few rows are sorted in no time. */
const fewRows = 1_000
const sampleSize = 2_000
/** A smaller table is not judged, because it may be large in production. */
const smallTable = 100
/** To read this share of the rows through an index is no faster than a scan of the table. */
const largeShare = 0.2

/** Whether an index would save little: only few rows are sorted, or most rows at both ends of the table match. */
export async function savesLittleOnSqlite(
  { table, source, conditions, isOrdered }: IndexCandidate,
  plan: string,
  { read }: AdvisorDatabase,
): Promise<boolean> {
  if (conditions.length === 0) return false
  if (isOrdered && isSorted(plan)) {
    if (!isSearch(plan, table)) return false
    const limit = ValueNode.createImmediate(fewRows)
    const sorted = derived(raw`(select 1 from ${source} where ${allOf(conditions)} limit ${limit})`, 'sorted')
    const [row] = await read(raw`select count(*) as n from ${sorted}`)
    return Number(row?.n) < fewRows
  }
  const end = (order: RawNode) => {
    const limit = ValueNode.createImmediate(sampleSize)
    return raw`select * from (select * from ${table.table} order by ${order} limit ${limit})`
  }
  const sample = derived(raw`(${end(raw`rowid`)} union all ${end(raw`rowid desc`)})`, table.name)
  const [row] = await read(raw`select count(*) as n, sum(${allOf(conditions)}) as matching from ${sample}`).catch(
    () => [],
  )
  return Number(row?.n ?? 0) >= 2 * smallTable && Number(row?.matching) > largeShare * Number(row?.n)
}

function isSorted(plan: string): boolean {
  return /TEMP B-TREE FOR .*ORDER BY/.test(plan)
}

function isSearch(plan: string, table: NamedTable): boolean {
  return new RegExp(`^SEARCH ${inPlan(table)} (?!USING AUTOMATIC)`, 'm').test(plan)
}

/**
 * Creates the index in an empty copy of the database in memory, with the same statistics, and reads the query's plan
 * there.
 *
 * @returns the plan with the index, and whether the index can be created and is used; `undefined` without `node:sqlite`,
 *   or when the copy cannot run the query because it lacks a function or a virtual table
 */
export async function proveOnSqlite(
  { definitions, statistics }: SqliteSchema,
  sql: string,
  index: { readonly name: string; readonly ddl: string },
): Promise<{ readonly isUsed: boolean; readonly after: string } | undefined> {
  const sqlite = await import('node:sqlite').catch(() => undefined)
  if (sqlite === undefined) return undefined
  const copy = new sqlite.DatabaseSync(':memory:')
  try {
    for (const definition of definitions) copy.exec(definition)
    if (statistics.length > 0) {
      copy.exec('analyze')
      const insert = copy.prepare('insert into sqlite_stat1 (tbl, idx, stat) values (?, ?, ?)')
      for (const { tbl, idx, stat } of statistics) insert.run(tbl, idx, stat)
      copy.exec('analyze sqlite_master')
    }
    // If the index fails here, as on a view, it would fail in the database too.
    if (!succeeds(() => copy.exec(index.ddl))) return { isUsed: false, after: '' }
    const steps = copy.prepare(`explain query plan ${sql}`).all()
    const details = steps.map(({ detail }) => String(detail))
    const isUsed = details.some((detail) => `${detail} `.includes(`INDEX ${index.name} `))
    return { isUsed, after: details.join('\n') }
  } catch {
    return undefined
  } finally {
    copy.close()
  }
}

function succeeds(run: () => void): boolean {
  try {
    run()
    return true
  } catch {
    return false
  }
}
