import { type OperationNode, type RawNode, type SelectQueryNode, ValueNode } from 'kysely'
import { type AdvisorDatabase, allOf, derived, identifier, joined, raw } from './advisor-database.ts'
import { type IndexCandidate, rowsWanted } from './index-candidates.ts'
import { maxKeyBytes } from './index-need.ts'
import { findSubqueries, findTables, parseMysqlDocument, type TablePlan } from './mysql-document.ts'
import { columnOf, comparisonOf, type NamedTable } from './query-conditions.ts'
import { isMysqlTable } from './table-indexes.ts'

/** The plan of a query on MySQL or MariaDB. */
interface MysqlPlan {
  readonly tables: readonly TablePlan[]
  /** How many rows the query's subqueries read for each row of its result. */
  readonly subqueryReads: number
  readonly isMariadb: boolean
}

export async function readMysqlPlan(query: SelectQueryNode, database: AdvisorDatabase): Promise<MysqlPlan> {
  const [server] = await database.read(raw`select version() as version`)
  const isMariadb = String(server?.version).includes('MariaDB')
  const [tables = [], ...subqueries] = isMariadb
    ? await readDocument(query, database)
    : await readPlanRows(query, database)
  return { tables, subqueryReads: sumOf(subqueries.flatMap(readsOf)), isMariadb }
}

/** The tables of the query, then those of each subquery. Only the JSON of MariaDB tells how many rows match. */
async function readDocument(query: SelectQueryNode, database: AdvisorDatabase): Promise<(readonly TablePlan[])[]> {
  const [row] = await database.read({ ...query, explain: raw`explain format=json` as never })
  const document = parseMysqlDocument(Object.values(row ?? {})[0])
  return [findTables(document).tables, ...findSubqueries(document)]
}

/** The same on MySQL. The traditional format is used, because each version of MySQL writes other JSON. */
async function readPlanRows(query: SelectQueryNode, database: AdvisorDatabase): Promise<(readonly TablePlan[])[]> {
  const rows = await database.read({ ...query, explain: raw`explain format=traditional` as never })
  const tablesById = Map.groupBy(rows, ({ id }) => id)
  return [...tablesById.values()].map((rows) =>
    rows.map(({ table, type, key, rows, filtered }): TablePlan => {
      return {
        table_name: String(table),
        access_type: String(type),
        ...(key === null ? {} : { key: String(key) }),
        rows: Number(rows ?? 1),
        filtered: Number(filtered ?? 100),
      }
    }),
  )
}

/** So few rows are read in no time, with or without an index. */
const fewRows = 500

/** To the planner, a row that is found through an index costs as much as several rows of a scan. */
const indexedRowCost = 4

/**
 * Estimates which share of the rows the query would read with the index. The planner knows nothing about the values of a
 * column without an index. So the rows are counted, for a second at most.
 *
 * @returns `Infinity` when the index would not be used, and when too many rows match it
 */
export async function mysqlShare(
  candidate: IndexCandidate,
  query: SelectQueryNode,
  { tables, subqueryReads, isMariadb }: MysqlPlan,
  database: AdvisorDatabase,
): Promise<number> {
  const at = tables.findIndex(({ table_name: name }) => name === candidate.table.name)
  const own = tables[at]
  if (own === undefined || !(await canIndex(candidate, database))) return Infinity
  const reads = readsOf(tables)
  const all = sumOf(reads)
  if (all < fewRows) return Infinity
  const replaced = reads[at] as number
  const rest = all - replaced
  if (candidate.joinedBy.length > 0) {
    const before = tables.slice(0, at)
    const isKnown = candidate.joinedBy.every(({ other }) => before.some(({ table_name: name }) => name === other))
    if (own.access_type !== 'ALL' || !isKnown) return Infinity
    const found = await rowsPerKey(candidate)
    const outer = before.reduce((rows, table) => rows * expectedRows(table), 1)
    const inSubqueries = subqueryReads * tables.reduce((rows, table) => rows * expectedRows(table), 1)
    return (rest + outer * found * indexedRowCost + inSubqueries) / (all + inSubqueries)
  }
  const isWhole = own.access_type === 'ALL' || own.access_type === 'index'
  if (!isWhole && !candidate.isOrdered) return Infinity
  const whole = Math.max(scannedRows(own), 1)
  const matching = await count(candidate.source, candidate.conditions, whole)
  if (matching === undefined) return Infinity
  // Fewer matching rows mean fewer reads of the tables joined to them, unless such a table is read whole.
  const joinedReads = tables.slice(at + 1).reduce((sum, table, next) => {
    const rows = reads[at + 1 + next] as number
    return sum + (table.access_type === 'ALL' ? rows : (rows * matching) / whole)
  }, 0)
  const before = reads.slice(0, at).reduce((sum, rows) => sum + rows, 0)
  const filtering = isWhole ? before + matching * indexedRowCost + joinedReads : Infinity
  const inSubqueries = subqueryReads === 0 ? 0 : subqueryReads * Math.min(await shownRows(), rowsWanted(query) ?? whole)
  return (Math.min(filtering, await costOfFirst(matching)) + inSubqueries) / (all + inSubqueries)

  /** How many rows the query returns without a limit; `Infinity` when counting them takes too long. */
  async function shownRows(): Promise<number> {
    return (await count(candidate.source, query.where === undefined ? [] : [query.where.where], whole)) ?? Infinity
  }

  /** The cost of reading the first rows in the order of the index. */
  async function costOfFirst(matching: number): Promise<number> {
    const wanted = candidate.isOrdered ? rowsWanted(query) : undefined
    if (wanted === undefined || tables.length > 1) return Infinity
    const shown = await shownRows()
    if (shown === Infinity) return Infinity
    const read = Math.min(matching, (wanted * matching) / Math.max(1, shown))
    // The planner reads in the order of an index only if that is fewer rows than the table has pages.
    return read * 2 > (await pagesOf(candidate.table, database)) ? Infinity : read * indexedRowCost
  }

  /** @returns `undefined` when the count takes too long */
  async function count(
    source: OperationNode,
    conditions: readonly OperationNode[],
    atMost: number,
  ): Promise<number | undefined> {
    if (conditions.length === 0) return atMost
    const limit = ValueNode.createImmediate(Math.ceil(atMost))
    const matching = raw`(select 1 as one from ${source} where ${allOf(conditions)} limit ${limit})`
    return await counted(raw`count(*) as n from ${derived(matching, 'matching')}`)
  }

  async function rowsPerKey({ table, joinedBy }: IndexCandidate): Promise<number> {
    const columns = joinedBy.map(({ column }) => identifier(column))
    const keys = await counted(raw`count(distinct ${joined(columns, ', ')}) as n from ${table.table}`)
    return keys === undefined ? Infinity : scannedRows(own as TablePlan) / Math.max(1, keys)
  }

  async function counted(selection: RawNode): Promise<number | undefined> {
    const limited = isMariadb
      ? raw`set statement max_statement_time=1 for select ${selection}`
      : raw`select /*+ max_execution_time(1000) */ ${selection}`
    const [row] = await database.read(limited).catch(() => [])
    return row === undefined ? undefined : Number(row.n)
  }
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, one) => sum + one, 0)
}

/** The rows that are read from each table. A table without an index for its join is read once, into a buffer. */
function readsOf(tables: readonly TablePlan[]): number[] {
  let outer = 1
  return tables.map((table) => {
    const reads = table.access_type === 'ALL' ? scannedRows(table) : outer * scannedRows(table)
    outer *= expectedRows(table)
    return reads
  })
}

function scannedRows({ rows }: TablePlan): number {
  return rows ?? 1
}

function expectedRows(table: TablePlan): number {
  return Math.max(1, (scannedRows(table) * Number(table.filtered ?? 100)) / 100)
}

/** Whether the columns fit into an index, and an index can be used to compare their values. */
async function canIndex(
  { table, fixed, keys, conditions }: IndexCandidate,
  database: AdvisorDatabase,
): Promise<boolean> {
  const types = await columnTypes(table, database)
  const columns = [...fixed.map(({ column }) => column), ...keys.map(({ node }) => columnOf(node)?.column ?? '')]
  const sizes = columns.map((column) => types.get(column)?.bytes ?? Infinity)
  if (sizes.reduce((sum, bytes) => sum + bytes, 0) > maxKeyBytes) return false
  return conditions.every((condition) => {
    const comparison = comparisonOf(condition)
    if (comparison === undefined || !types.get(comparison.column)?.isText) return true
    // A text is compared with a number as a number. An index of texts cannot be used for that.
    const { value, values } = comparison.value as { value?: unknown; values?: readonly unknown[] }
    return [value, ...(values ?? [])].every((one) => typeof one !== 'number' && typeof one !== 'bigint')
  })
}

async function pagesOf({ table }: NamedTable, database: AdvisorDatabase): Promise<number> {
  const [row] = await database.read(
    raw`select data_length as bytes from information_schema.tables where ${isMysqlTable(table)}`,
  )
  return Number(row?.bytes ?? 0) / 16_384
}

async function columnTypes({ table }: NamedTable, database: AdvisorDatabase) {
  const rows = await database.read(
    raw`select column_name as name, data_type as type, character_octet_length as size from information_schema.columns
      where ${isMysqlTable(table)}`,
  )
  return new Map(
    rows.map(({ name, type, size }) => {
      const isText = /char|binary|text|blob|json|enum|set/.test(String(type))
      const isLarge = /text|blob|json|geometry|point|polygon|linestring/.test(String(type))
      return [String(name), { isText, bytes: isLarge ? Infinity : Number(size ?? 8) }]
    }),
  )
}
