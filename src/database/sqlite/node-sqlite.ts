import { expectObject, expectOneOf, expectOptions } from '../../shared/arguments.ts'
import {
  grantedStatementLimit,
  type SqliteDatabaseFacade,
  type SqliteStatementLike,
  StatementCache,
  withoutLeadingComments,
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
  setReadBigInts?(enabled: boolean): unknown
  /** From Node 22.16 on. */
  columns?(): readonly unknown[]
}

export interface NodeSqliteOptions {
  /**
   * How integers are read. `'exact'`: as numbers, and as bigints where a number would be inexact (from 2 ** 53 on).
   * `'number'`: always as numbers, rounded if need be, as `better-sqlite3` does. `'bigint'`: always as bigints.
   *
   * @defaultValue `'exact'`, and `'bigint'` for a database that was opened with `readBigInts`
   */
  readonly integers?: 'exact' | 'number' | 'bigint' | undefined
}

/**
 * Turns a database of Node's built-in SQLite into a `database` for Kysely's `SqliteDialect`. Under `instrument` it keeps its
 * prepared statements (`statementCache`). Rows are plain objects.
 *
 * @throws TypeError for a bad option
 *
 * @example
 * ```ts
 * import { DatabaseSync } from 'node:sqlite'
 * new SqliteDialect({ database: nodeSqlite(new DatabaseSync('app.db')) })
 * ```
 */
export function nodeSqlite(database: NodeDatabase, options: NodeSqliteOptions = {}): SqliteDatabaseFacade {
  expectObject(database, 'database', ['prepare', 'close'], "a DatabaseSync of 'node:sqlite'")
  expectOptions(options, { integers: 'own' })
  const { integers } = options
  expectOneOf(integers, 'integers', [undefined, 'exact', 'number', 'bigint'])
  let reading = integers
  const readIntegers = () => {
    reading ??= readsBigInts(database) ? 'bigint' : 'exact'
    return reading
  }
  const cache = new StatementCache((sql) => adapt(database.prepare(sql), sql, integers, readIntegers))
  return {
    close() {
      cache.clear()
      database.close()
    },
    prepare: (sql) => cache.prepare(sql, grantedStatementLimit()),
  }
}

function readsBigInts(database: NodeDatabase): boolean {
  const [row] = database.prepare('select 1 as one').all() as { readonly one: unknown }[]
  return typeof row?.one === 'bigint'
}

type Row = Record<string, unknown>

/** @param readIntegers - finds out how to read integers if the option is not set */
function adapt(
  statement: NodeStatement,
  sql: string,
  integers: NodeSqliteOptions['integers'],
  readIntegers: () => NonNullable<NodeSqliteOptions['integers']>,
): SqliteStatementLike {
  const mayRunTwice = /^\s*(?:select|values)\b/i.test(sql)
  let convert = toPlain
  const readBigInts = () => {
    statement.setReadBigInts?.(true)
    const reading = readIntegers()
    if (reading !== 'bigint') convert = reading === 'exact' ? toExact : toRounded
  }
  const reader = statement.columns === undefined ? returnsRows(sql) : statement.columns().length > 0
  // Reading every integer as a bigint costs more than twice as much, so a SELECT first tries without it.
  if (integers === 'bigint' || (reader && !mayRunTwice)) readBigInts()
  else if (integers !== undefined) statement.setReadBigInts?.(false)
  return {
    reader,
    all(parameters) {
      try {
        return (statement.all(...(parameters as never[])) as Row[]).map(convert)
      } catch (error) {
        if (!mayRunTwice || (error as { code?: unknown }).code !== 'ERR_OUT_OF_RANGE') throw error
        readBigInts()
        return (statement.all(...(parameters as never[])) as Row[]).map(convert)
      }
    },
    run: (parameters) => statement.run(...(parameters as never[])),
    *iterate(parameters) {
      readBigInts()
      for (const row of statement.iterate(...(parameters as never[]))) yield convert(row as Row)
    },
  }
}

/** Rows of `node:sqlite` have no prototype, which some libraries do not expect. Copying them would cost twice as much. */
function toPlain(row: Row): Row {
  return Object.setPrototypeOf(row, Object.prototype)
}

function toExact(row: Row): Row {
  return withNumbers(row, (integer) => Number.isSafeInteger(Number(integer)))
}

function toRounded(row: Row): Row {
  return withNumbers(row, () => true)
}

function withNumbers(row: Row, isNumber: (integer: bigint) => boolean): Row {
  for (const column of Object.keys(row)) {
    const value = row[column]
    if (typeof value === 'bigint' && isNumber(value)) row[column] = Number(value)
  }
  return toPlain(row)
}

function returnsRows(sql: string): boolean {
  return /^(?:select|values|with|pragma|explain)\b|\breturning\b/i.test(withoutLeadingComments(sql))
}
