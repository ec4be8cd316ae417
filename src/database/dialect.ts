import { IdentifierNode, type QueryCompiler, RawNode, ValueNode } from 'kysely'

/** The SQL dialects we know the errors, the EXPLAIN and the cancellation of. MariaDB counts as `'mysql'`. */
export type SqlDialect = 'postgres' | 'mysql' | 'sqlite' | 'mssql'

/** The dialect, read off what its compiler makes of an identifier and a parameter: third-party dialects included. */
export function dialectOf(compiler: QueryCompiler): SqlDialect {
  const probe = RawNode.create(['', ' ', ''], [IdentifierNode.create('x'), ValueNode.create(1)])
  const { sql } = compiler.compileQuery(probe, { queryId: 'posthaste' })
  if (sql.includes('`')) return 'mysql'
  if (sql.includes('$1')) return 'postgres'
  return sql.includes('@1') ? 'mssql' : 'sqlite'
}
