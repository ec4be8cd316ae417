import { expectObject, expectWholeNumber } from '../../shared/arguments.ts'
import { RecentMap } from '../../shared/recent-map.ts'

/** The part of a prepared statement of `better-sqlite3` that Kysely uses. */
export interface SqliteStatementLike {
  readonly reader: boolean
  all(parameters: readonly unknown[]): unknown[]
  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  iterate(parameters: readonly unknown[]): IterableIterator<unknown>
}

/** The part of a database of `better-sqlite3` that Kysely's `SqliteDialect` uses. */
export interface SqliteDatabaseLike {
  close(): unknown
  prepare(sql: string): SqliteStatementLike
}

/** Can be passed to Kysely's `SqliteDialect` as `database`. */
export interface SqliteDatabaseFacade {
  close(): void
  prepare(sql: string): SqliteStatementLike
}

/**
 * Makes a SQLite database keep its prepared statements. Kysely prepares each query again, which costs more than running it.
 *
 * @param database - a `better-sqlite3` database, or the result of {@link nodeSqlite}
 * @param max - how many statements are kept; the least recently used one is dropped first
 * @throws TypeError or RangeError when `max` is no whole number from 1 up
 *
 * @example
 * ```ts
 * new SqliteDialect({ database: cachedStatements(new Database('app.db')) })
 * ```
 */
export function cachedStatements(database: SqliteDatabaseLike, max = 100): SqliteDatabaseFacade {
  expectObject(database, 'database', ['prepare', 'close'], "a database of 'better-sqlite3'")
  expectWholeNumber(max, 'max', { min: 1 })
  const cache = new StatementCache((sql) => database.prepare(sql))
  return {
    close() {
      cache.clear()
      database.close()
    },
    prepare(sql) {
      grantedStatementLimit()
      return cache.prepare(sql, max)
    },
  }
}

/** Keeps the prepared statements of one database by their SQL. */
export class StatementCache {
  readonly #prepare: (sql: string) => SqliteStatementLike
  #statementsBySql: RecentMap<SqliteStatementLike> | undefined

  constructor(prepare: (sql: string) => SqliteStatementLike) {
    this.#prepare = prepare
  }

  prepare(sql: string, max: number): SqliteStatementLike {
    if (changesSchema.test(withoutLeadingComments(sql))) this.#statementsBySql?.clear()
    if (max === 0) return this.#prepare(sql)
    if (this.#statementsBySql?.max !== max) this.#statementsBySql = new RecentMap(max)
    const known = this.#statementsBySql.get(sql)
    if (known !== undefined) return known
    const statement = this.#reusable(sql, this.#prepare(sql))
    this.#statementsBySql.set(sql, statement)
    return statement
  }

  clear(): void {
    this.#statementsBySql?.clear()
  }

  /**
   * A statement is busy while it is iterated. So it leaves the cache, and the next query with this SQL prepares another
   * one.
   */
  #reusable(sql: string, statement: SqliteStatementLike): SqliteStatementLike {
    const reusable: SqliteStatementLike = {
      reader: statement.reader,
      all: (parameters) => statement.all(parameters),
      run: (parameters) => statement.run(parameters),
      iterate: (parameters) => {
        if (this.#statementsBySql?.peek(sql) === reusable) this.#statementsBySql.delete(sql)
        return statement.iterate(parameters)
      },
    }
    return reusable
  }
}

/** After these statements, a prepared statement of `node:sqlite` in Node 22 returns the table's old columns once. */
const changesSchema = /^(?:alter|create|drop|attach|detach|rollback)\b/i

/** The statement without the white space and the comments in front of it. */
export function withoutLeadingComments(sql: string): string {
  return sql.replace(/^(?:\s|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/, '')
}

let grantedLimit = 0
let isLimitRead = false

/**
 * Lets our databases keep `limit` statements while the function runs. Code after an `await` in the function has no such
 * limit.
 *
 * @returns the function's result, and whether one of our databases has read the limit
 */
export function withStatementLimit<Result>(
  limit: number,
  run: () => Result,
): { readonly result: Result; readonly isReached: boolean } {
  grantedLimit = limit
  isLimitRead = false
  try {
    return { result: run(), isReached: isLimitRead }
  } finally {
    grantedLimit = 0
  }
}

/** How many statements the instrumentation lets one of our databases keep. Call it for every statement. */
export function grantedStatementLimit(): number {
  isLimitRead = true
  return grantedLimit
}
