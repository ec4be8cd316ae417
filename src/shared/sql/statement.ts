import type { QueryCompiler } from 'kysely'

// What can be told of a statement beside its tables: its dialect, and whether it is repeated on purpose.

/** The SQL dialects whose errors, query plans and cancellation are supported. MariaDB counts as `'mysql'`. */
export type SqlDialect = (typeof sqlDialects)[number]

export const sqlDialects = ['postgres', 'mysql', 'sqlite', 'mssql'] as const

/**
 * Finds the dialect by how its compiler writes an identifier, a parameter and a default, so that third-party dialects are
 * recognized too.
 */
export function dialectOf(compiler: Pick<QueryCompiler, 'compileQuery'>): SqlDialect {
  return dialectOfSql(compiler.compileQuery(probe as never, { queryId: 'posthaste' }).sql)
}

/** The dialect of SQL text that holds an identifier, a parameter and a {@link defaultNode}. */
export function dialectOfSql(sql: string): SqlDialect {
  if (sql.includes('`')) return 'mysql'
  if (sql.includes('$1')) return 'postgres'
  if (sql.includes('@1')) return 'mssql'
  // With Knex, PostgreSQL's parameters are question marks too.
  return sql.includes('default') ? 'postgres' : 'sqlite'
}

/** Where an order has NULLs by itself. PostgreSQL takes them as larger than any value, the other databases as smaller. */
export function nativeNulls(dialect: SqlDialect, isDescending: boolean): 'first' | 'last' {
  return (dialect === 'postgres') === isDescending ? 'first' : 'last'
}

/** The default of a column. SQLite has no word for it. */
export const defaultNode = { kind: 'DefaultInsertValueNode' } as const

/** A plain object instead of Kysely's constructors, so that this file does not load Kysely. */
const probe = {
  kind: 'RawNode',
  sqlFragments: ['', ' ', ' ', ''],
  parameters: [{ kind: 'IdentifierNode', name: 'x' }, { kind: 'ValueNode', value: 1 }, defaultNode],
}

const mark: unique symbol = Symbol('intended query')

/**
 * Marks the syntax tree of a query that we run repeatedly on purpose, such as for one page of many. That is not an N+1.
 *
 * @param node - the root node that is compiled; a frozen node is not marked
 */
export function markIntendedQuery(node: object): void {
  // Marked by a property: a WeakSet of all statements costs the garbage collector more time than the page takes.
  if (Object.isExtensible(node)) (node as { [mark]?: true })[mark] = true
}

/** Whether the query was marked by {@link markIntendedQuery}. */
export function isIntendedQuery(node: object): boolean {
  return mark in node
}
