import type { QueryCompiler } from 'kysely'

/** The SQL dialects whose errors, query plans and cancellation are supported. MariaDB counts as `'mysql'`. */
export type SqlDialect = (typeof sqlDialects)[number]

export const sqlDialects = ['postgres', 'mysql', 'sqlite', 'mssql'] as const

/**
 * Finds the dialect by the way in which its compiler writes an identifier and a parameter, so that third-party dialects are
 * recognized too.
 */
export function dialectOf(compiler: Pick<QueryCompiler, 'compileQuery'>): SqlDialect {
  return dialectOfSql(compiler.compileQuery(probe as never, { queryId: 'posthaste' }).sql)
}

/** The dialect of SQL text that holds an identifier and a parameter. */
export function dialectOfSql(sql: string): SqlDialect {
  if (sql.includes('`')) return 'mysql'
  if (sql.includes('$1')) return 'postgres'
  return sql.includes('@1') ? 'mssql' : 'sqlite'
}

/** A plain object instead of Kysely's constructors, so that this file does not load Kysely. */
const probe = {
  kind: 'RawNode',
  sqlFragments: ['', ' ', ''],
  parameters: [
    { kind: 'IdentifierNode', name: 'x' },
    { kind: 'ValueNode', value: 1 },
  ],
}
