import { type OperationNode, SelectionNode, SelectQueryNode } from 'kysely'
import { expectColumn, type QueryRunner, type Row } from '../seek/query-runner.ts'
import { joined, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { type MysqlColumn, mysqlTypeOf } from './mysql-types.ts'
import type { QualifiedName } from './query-sources.ts'

/** What is known of the tables and expressions of one database on one server. */
interface KnownDatabase {
  readonly tables: Map<string, { readonly columns: readonly MysqlColumn[]; readonly learnedAt: number }>
  /** Expressions that cannot be converted to a number. */
  readonly opaque: Set<string>
  isMariadb: boolean
}

const databases = new Map<string, KnownDatabase>()
/** How many databases we remember, how many tables of each, and how many of its opaque expressions. */
const maxKnown = 1_000

/** A migration may change a table while the process runs, so columns are looked up again after this time. */
const maxAgeMs = 10_000

// Only its rows tell which database a query runs in. Until then, we assume the one that was used last.
let lastUsed: string | undefined

export function lastUsedDatabase(): string | undefined {
  return lastUsed
}

/** Identifies the database of a row. The server is a part of it, because servers may have databases of the same name. */
export const databaseColumn: OperationNode = sqlText(
  "crc32(concat(@@hostname, ':', @@port, '/', ifnull(database(), '/'))) as posthasted0",
)

/** The value of {@link databaseColumn} in a row. */
export function databaseOf(row: Row | undefined): string | undefined {
  const database = row?.posthasted0 ?? undefined
  return database === undefined ? undefined : String(database)
}

/** The columns of a table; `undefined` if they must be looked up first. */
export function columnsIn(database: string | undefined, table: QualifiedName): readonly MysqlColumn[] | undefined {
  if (database === undefined) return undefined
  lastUsed = database
  const known = databases.get(database)?.tables.get(keyOf(table))
  return known === undefined || performance.now() - known.learnedAt > maxAgeMs ? undefined : known.columns
}

/**
 * Looks up the columns of tables, by one statement over the connection of the query.
 *
 * @returns the database of the tables
 */
export async function learnColumns(
  runner: QueryRunner,
  wanted: readonly QualifiedName[],
  signal?: AbortSignal,
): Promise<string> {
  const conditions = wanted.map(({ schema, name }) => {
    const database = schema === undefined ? raw`database()` : raw`${parameter(schema)}`
    return raw`(table_schema = ${database} and table_name = ${parameter(name)})`
  })
  const isWanted = joined(conditions, ' or ')
  const found = raw`select table_name as pht, table_schema as phs, column_name as phc, column_type as phy, collation_name as phl, extra as phv from information_schema.columns where ${isWanted} union all select table_name, table_schema, null, null, null, table_type from information_schema.tables where ${isWanted}`
  // Without a limit, the session's `sql_select_limit` would leave out columns.
  const columns = raw`(select ${databaseColumn}, database() as posthasted1, version() as posthasted2) as phd left join (${found}) as phc on 1 limit 99999`
  const statement = { ...SelectQueryNode.createFrom([columns]), selections: [SelectionNode.createSelectAll()] }
  const rows = await runner.rows(() => statement, signal)
  expectColumn(rows[0], 'posthasted0')
  const database = databaseOf(rows[0]) as string
  const known = knownDatabase(database)
  const { tables, opaque } = known
  known.isMariadb = String(rows[0]?.posthasted2).includes('MariaDB')
  const current = String(rows[0]?.posthasted1)
  const learnedAt = performance.now()
  if (tables.size > maxKnown) tables.clear()
  for (const table of wanted) {
    const own = rows.filter(({ pht, phs }) => isSameName(pht, table.name) && isSameName(phs, table.schema ?? current))
    const isView = own.some(({ phc, phv }) => phc === null && /view/i.test(String(phv)))
    const found = own.flatMap(({ phc, phy, phl, phv }) => {
      const isComputed = isView || /virtual/i.test(String(phv))
      return phc === null
        ? []
        : [{ name: String(phc).toLowerCase(), type: mysqlTypeOf(String(phy), isComputed, String(phl)) }]
    })
    const before = tables.get(keyOf(table))
    if (before !== undefined && JSON.stringify(before.columns) !== JSON.stringify(found)) opaque.clear()
    tables.set(keyOf(table), { columns: found, learnedAt })
  }
  lastUsed = database
  return database
}

/** Whether a TIMESTAMP stays an instant in derived tables and groups. On MySQL, it is a local time there. */
export function keepsInstants(database: string | undefined): boolean {
  return database !== undefined && databases.get(database)?.isMariadb === true
}

/** Whether the expression cannot be converted to a number. */
export function isOpaque(database: string | undefined, expression: string): boolean {
  return database !== undefined && (databases.get(database)?.opaque.has(expression) ?? false)
}

export function markOpaque(database: string, expressions: readonly string[]): void {
  const { opaque } = knownDatabase(database)
  if (opaque.size > maxKnown) opaque.clear()
  for (const expression of expressions) opaque.add(expression)
}

function knownDatabase(database: string): KnownDatabase {
  const known = databases.get(database)
  if (known !== undefined) return known
  if (databases.size >= maxKnown) databases.clear()
  const added: KnownDatabase = { tables: new Map(), opaque: new Set(), isMariadb: false }
  databases.set(database, added)
  return added
}

/** Some servers ignore the case of table and database names. */
function isSameName(found: unknown, name: string): boolean {
  return found !== null && String(found).toLowerCase() === name.toLowerCase()
}

function keyOf({ schema, name }: QualifiedName): string {
  return schema === undefined ? name : `${schema}.${name}`
}
