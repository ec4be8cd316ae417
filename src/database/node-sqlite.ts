import {
  type SqliteDatabaseFacade,
  type SqliteStatementLike,
  StatementCache,
  statementLimit,
} from './cached-statements.ts'

/** `DatabaseSync` of `node:sqlite`. */
export interface NodeDatabase {
  close(): void
  prepare(sql: string): NodeStatement
}

/** `StatementSync` of `node:sqlite`. */
export interface NodeStatement {
  all(...parameters: never[]): unknown[]
  run(...parameters: never[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  iterate(...parameters: never[]): IterableIterator<unknown>
  /** From Node 22.16 on. */
  columns?(): readonly unknown[]
}

/**
 * Makes the SQLite that comes with Node a `database` for Kysely's `SqliteDialect`. Under `instrument` it keeps its prepared
 * statements (`statementCache`).
 *
 * @example
 * ```ts
 * import { DatabaseSync } from 'node:sqlite'
 * new SqliteDialect({ database: nodeSqlite(new DatabaseSync('app.db')) })
 * ```
 */
export function nodeSqlite(database: NodeDatabase): SqliteDatabaseFacade {
  const cache = new StatementCache((sql) => adapt(database.prepare(sql), sql))
  return {
    close() {
      cache.clear()
      database.close()
    },
    prepare: (sql) => cache.prepare(sql, statementLimit()),
  }
}

function adapt(statement: NodeStatement, sql: string): SqliteStatementLike {
  return {
    reader: statement.columns === undefined ? looksLikeReader(sql) : statement.columns().length > 0,
    all: (parameters) => statement.all(...(parameters as never[])),
    run: (parameters) => statement.run(...(parameters as never[])),
    iterate: (parameters) => statement.iterate(...(parameters as never[])),
  }
}

function looksLikeReader(sql: string): boolean {
  return /^\s*(?:select|values|with|pragma|explain)\b|\breturning\b/i.test(sql)
}
