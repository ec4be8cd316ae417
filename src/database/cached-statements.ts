import { LRUCache } from 'lru-cache'
import { expectWholeNumber } from '../shared/assertions.ts'

/** A prepared statement, as `better-sqlite3` and Kysely see it. */
export interface SqliteStatementLike {
  readonly reader: boolean
  all(parameters: readonly unknown[]): unknown[]
  run(parameters: readonly unknown[]): { changes: number | bigint; lastInsertRowid: number | bigint }
  iterate(parameters: readonly unknown[]): IterableIterator<unknown>
}

/** A SQLite database, as `better-sqlite3` and Kysely's `SqliteDialect` see it. */
export interface SqliteDatabaseLike {
  close(): unknown
  prepare(sql: string): SqliteStatementLike
}

/** What Kysely's `SqliteDialect` takes as `database`. */
export interface SqliteDatabaseFacade {
  close(): void
  prepare(sql: string): SqliteStatementLike
}

/**
 * A database that keeps its prepared statements: Kysely prepares each query anew, which costs more than running it.
 *
 * @param database - a `better-sqlite3` database, or what {@link nodeSqlite} made
 * @param max - statements kept, least recently used first to go
 * @throws TypeError or RangeError when `max` is no whole number from 1 up
 *
 * @example
 * ```ts
 * new SqliteDialect({ database: cachedStatements(new Database('app.db')) })
 * ```
 */
export function cachedStatements(database: SqliteDatabaseLike, max = 100): SqliteDatabaseFacade {
  expectWholeNumber(max, 'max', { min: 1 })
  const cache = new StatementCache((sql) => database.prepare(sql))
  return {
    close() {
      cache.clear()
      database.close()
    },
    prepare(sql) {
      statementLimit()
      return cache.prepare(sql, max)
    },
  }
}

/** Prepared statements of one database, by their SQL. */
export class StatementCache {
  readonly #prepare: (sql: string) => SqliteStatementLike
  #statements: LRUCache<string, SqliteStatementLike> | undefined

  constructor(prepare: (sql: string) => SqliteStatementLike) {
    this.#prepare = prepare
  }

  prepare(sql: string, max: number): SqliteStatementLike {
    if (changesSchema.test(sql)) this.#statements?.clear()
    if (max === 0) return this.#prepare(sql)
    if (this.#statements?.max !== max) this.#statements = new LRUCache({ max })
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#reusable(sql, this.#prepare(sql))
    this.#statements.set(sql, statement)
    return statement
  }

  clear(): void {
    this.#statements?.clear()
  }

  /** A statement that is being iterated is busy: it leaves the cache meanwhile, and the same SQL gets another one. */
  #reusable(sql: string, statement: SqliteStatementLike): SqliteStatementLike {
    const reusable: SqliteStatementLike = {
      reader: statement.reader,
      all: (parameters) => statement.all(parameters),
      run: (parameters) => statement.run(parameters),
      iterate: (parameters) => {
        if (this.#statements?.peek(sql) === reusable) this.#statements.delete(sql)
        return statement.iterate(parameters)
      },
    }
    return reusable
  }
}

/** After these, statements of `node:sqlite` in Node 22 give the columns that the table had before, once. */
const changesSchema = /^\s*(?:alter|create|drop|attach|detach|rollback)\b/i

let limit = 0
let asked = false

/**
 * Lets the databases of this library keep that many statements, as long as the function runs, not what it awaits.
 *
 * @returns its result, and whether such a database was there to hear it
 */
export function withStatementCache<Result>(
  statements: number,
  run: () => Result,
): { result: Result; reached: boolean } {
  limit = statements
  asked = false
  try {
    return { result: run(), reached: asked }
  } finally {
    limit = 0
  }
}

/** For our own databases: how many statements the instrumentation wants kept. */
export function statementLimit(): number {
  asked = true
  return limit
}
