import { type RawNode, type TableNode, ValueNode } from 'kysely'
import type { SqlDialect } from '../sql/statement.ts'
import { type AdvisorDatabase, identifier, type Row, raw } from './advisor-database.ts'

/** Runs a query of the database's catalog. */
type ReadCatalog = AdvisorDatabase['read']

export interface TableIndex {
  readonly name: string
  readonly columns: readonly IndexedColumn[]
  /** The condition of a partial index. */
  readonly predicate?: string | undefined
}

/** A column of an index. An expression, or the beginning of a text, has no name. */
interface IndexedColumn {
  readonly name: string | undefined
  readonly isDescending: boolean
  readonly hasNullsFirst?: boolean
}

export interface TableIndexes {
  readonly indexes: readonly TableIndex[]
  /** `Infinity` if the database does not tell the size. */
  readonly bytes: number
  /**
   * How many bytes each column may take in an index, if the database limits them. `Infinity` for a column of which only
   * the beginning can be indexed.
   */
  readonly widths?: ReadonlyMap<string, number>
}

/**
 * The indexes of the table that the name stands for in this session: a table of that name in another schema has other
 * indexes.
 */
export function indexesOf(dialect: SqlDialect, table: TableNode, read: ReadCatalog): Promise<TableIndexes> {
  if (dialect === 'postgres') return postgresIndexes(table, read)
  return dialect === 'mysql' ? mysqlIndexes(table, read) : sqliteIndexes(table, read)
}

async function postgresIndexes({ table }: TableNode, read: ReadCatalog): Promise<TableIndexes> {
  const name = ValueNode.create(regclass(table.schema?.name, table.identifier.name))
  const rows = await read(
    // Indexes such as BRIN, GIN and hash have no order.
    raw`select pg_relation_size(i.indrelid)::float8 as bytes, c.relname as name, k as at, i.indoption[k - 1]::int as opts,
        pg_get_expr(i.indpred, i.indrelid) as pred,
        (select attname from pg_attribute where attrelid = i.indrelid and attnum = i.indkey[k - 1]) as col
      from pg_index i join pg_class c on c.oid = i.indexrelid, generate_series(1, i.indnkeyatts) k
      where i.indrelid = to_regclass(${name}::text) and i.indisvalid and pg_indexam_has_property(c.relam, 'can_order')`,
  )
  const indexes = byIndex(rows, (row) => ({
    name: (row.col ?? undefined) as string | undefined,
    // Flags in pg_index.indoption.
    isDescending: (Number(row.opts) & 1) === 1,
    hasNullsFirst: (Number(row.opts) & 2) === 2,
  })).map(({ name, columns, first }) => ({ name, columns, predicate: (first.pred ?? undefined) as string | undefined }))
  return { indexes, bytes: Number(rows[0]?.bytes ?? Infinity) }
}

/** The text by which PostgreSQL finds a table. */
export function regclass(schema: string | undefined, table: string): string {
  const parts = schema === undefined ? [table] : [schema, table]
  return parts.map((part) => `"${part.replaceAll('"', '""')}"`).join('.')
}

async function mysqlIndexes(table: TableNode, read: ReadCatalog): Promise<TableIndexes> {
  const isTable = isMysqlTable(table)
  const rows = await read(
    raw`select index_name as name, seq_in_index as at, collation as dir, case when sub_part is null then column_name end as col,
        (select data_length from information_schema.tables where ${isTable}) as bytes
      from information_schema.statistics where index_type = 'BTREE' and ${isTable}`,
  )
  const found = byIndex(rows, (row) => ({
    name: (row.col ?? undefined) as string | undefined,
    isDescending: row.dir === 'D',
  }))
  const primary = found.find(({ name }) => name === 'PRIMARY')?.columns ?? []
  // In InnoDB, every index ends in the columns of the primary key.
  const indexes = found.map(({ name, columns }) => ({ name, columns: [...columns, ...primary] }))
  return { indexes, bytes: Number(rows[0]?.bytes ?? Infinity), widths: await mysqlWidths(table, read) }
}

async function mysqlWidths(table: TableNode, read: ReadCatalog): Promise<ReadonlyMap<string, number>> {
  const rows = await read(
    raw`select column_name as col, case when data_type rlike 'text|blob|json' then null else character_octet_length end as width
      from information_schema.columns
      where (character_octet_length is not null or data_type = 'json') and ${isMysqlTable(table)}`,
  )
  return new Map(rows.map(({ col, width }) => [String(col), Number(width ?? Infinity)]))
}

/** The condition by which MySQL's catalog finds a table. */
export function isMysqlTable({ table: { schema, identifier } }: TableNode): RawNode {
  const [inSchema, name] = [ValueNode.create(schema?.name ?? null), ValueNode.create(identifier.name)]
  return raw`table_schema = coalesce(${inSchema}, database()) and table_name = ${name}`
}

async function sqliteIndexes({ table }: TableNode, read: ReadCatalog): Promise<TableIndexes> {
  const [schema, name] = [ValueNode.create(table.schema?.name ?? null), ValueNode.create(table.identifier.name)]
  const rows = await read(
    raw`select l.name as name, x.seqno as at, x.name as col, x."desc" as down, m.sql as def
      from pragma_index_list(${name}, ${schema}) l, pragma_index_xinfo(l.name, ${schema}) x
      left join ${table.schema ?? identifier('main')}.sqlite_master m on m.name = l.name where x.key = 1`,
  )
  const indexes = byIndex(rows, (row) => ({
    name: (row.col ?? undefined) as string | undefined,
    isDescending: Number(row.down) === 1,
  })).map(({ name, columns, first }) => ({ name, columns, predicate: String(first.def ?? '').split(/\bwhere\b/i)[1] }))
  return { indexes, bytes: Infinity }
}

/** Groups rows of the catalog by index. Each row is a column: `name` is the index, `at` the column's place in it. */
function byIndex(
  rows: readonly Row[],
  columnOf: (row: Row) => IndexedColumn,
): { name: string; columns: IndexedColumn[]; first: Row }[] {
  const sorted = rows.toSorted((a, b) => Number(a.at) - Number(b.at))
  return [...Map.groupBy(sorted, (row) => row.name as string)].map(([name, own]) => {
    return { name, columns: own.map(columnOf), first: own[0] as Row }
  })
}
