import type { CompiledQuery } from 'kysely'
import { nodeCrypto } from '../../shared/platform/builtins.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { hasUnknownTables } from '../../shared/sql/unknown-tables.ts'
import { fingerprint } from '../fingerprint/fingerprint.ts'
import { operationAndTables, type QueryShape, usesTable } from '../fingerprint/query-shape.ts'
import { commitsImplicitly, type TransactionControl, transactionControl } from '../transactions/transaction-control.ts'
import type { QueryStats } from '../types.ts'
import { ShapeStatistics } from './shape-statistics.ts'

/** One SQL text. Many texts can have the same shape. */
export interface Statement {
  readonly sql: string
  /** Whether the statement was written as raw SQL. The same text from a query builder also names its tables. */
  readonly isRaw: boolean
  readonly shape: ShapeStatistics
  /** Tables that it reads or changes, without their schema. */
  readonly tables: readonly string[]
  /** Tables that it changes. */
  readonly writes: readonly string[]
  /** Whether it may read tables that are not in {@link tables}. */
  readonly hasUnknownTables: boolean
  /** Whether the statement only reads, as far as its text shows. Ending such a statement loses nothing but its rows. */
  readonly onlyReads: boolean
  /** Whether the statement reads or changes a table. Only then would one statement instead of several save anything. */
  readonly usesTable: boolean
  /** Set when the statement serves many values or rows at once: the positions of its parameters outside of those lists. */
  readonly scalars: readonly number[] | undefined
  /** The values in the SQL text, for comparisons. They are never shown. */
  readonly literals: string | undefined
  /** The {@link literals} outside of lists. */
  readonly scalarLiterals: string | undefined
  /** Set for `begin`, `commit` and other statements that control the transaction. */
  readonly control: TransactionControl | undefined
  /** Whether the database commits the open transaction before it runs the statement, as MySQL does before DDL. */
  readonly commitsFirst: boolean
}

const lengthSlots = 512
/** How many characters of SQL are kept. Inserts of many rows have hundreds of thousands. */
const maxLength = 5_000_000
/** Longer literals are kept as their hash. */
const longestLiterals = 200

/** With one of these words, as in `select … into` and `with moved as (delete …)`, a SELECT may change something. */
const writingWords: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge', 'into'])

/** Counts and times queries by shape. Memory is bounded: shapes that no longer run are counted together. */
export class QueryStatistics {
  readonly #dialect: SqlDialect | undefined
  readonly #maxShapes: number
  readonly #statements: KeptStatements
  readonly #rawStatements: KeptStatements
  readonly #shapesByText = new Map<string, ShapeStatistics>()
  readonly #overflow = new ShapeStatistics({ text: '(overflow)', operation: 'other', tables: [], writes: [] })
  /** The latest statement of each length. */
  readonly #latestByLength = new Array<Statement | undefined>(lengthSlots)

  constructor(dialect?: SqlDialect, maxShapes = 500) {
    this.#dialect = dialect
    this.#maxShapes = maxShapes
    const forget = (statement: Statement) => {
      const slot = statement.sql.length % lengthSlots
      if (this.#latestByLength[slot] === statement) this.#latestByLength[slot] = undefined
    }
    this.#statements = new KeptStatements(maxShapes * 4, forget)
    this.#rawStatements = new KeptStatements(maxShapes * 4, forget)
  }

  statementOf(query: CompiledQuery): Statement {
    // Kysely builds a new string for each run. Comparing it with the latest SQL of the same length costs half of hashing
    // it.
    const { length } = query.sql
    const isRaw = query.query.kind === 'RawNode'
    const likely = this.#latestByLength[length % lengthSlots]
    if (likely !== undefined && likely.sql === query.sql && likely.isRaw === isRaw && !likely.shape.isEvicted)
      return likely
    const known = (isRaw ? this.#rawStatements : this.#statements).get(query.sql)
    const statement = known === undefined || known.shape.isEvicted ? this.#add(query) : known
    this.#latestByLength[length % lengthSlots] = statement
    return statement
  }

  /** The shapes that have run, those with the longest total time first. */
  snapshot(): QueryStats[] {
    return [...this.#shapesByText.values(), this.#overflow]
      .filter(({ count }) => count > 0)
      .sort((one, other) => other.totalMs - one.totalMs)
      .map((shape) => shape.snapshot())
  }

  #add(query: CompiledQuery): Statement {
    const { sql } = query
    const { text, tokens, literals, scalarLiterals, scalars, isBatch } = fingerprint(sql, this.#dialect)
    const kind = operationAndTables(query.query, tokens)
    const { operation, tables, writes } = kind
    const shape = this.#shapeOf({ text, ...kind })
    const isRaw = query.query.kind === 'RawNode'
    const statement: Statement = {
      sql,
      isRaw,
      shape,
      tables,
      writes,
      hasUnknownTables: hasUnknownTables(query.query),
      onlyReads:
        operation === 'select' &&
        writes.length === 0 &&
        !tokens.some(({ kind, key }) => kind === 'word' && writingWords.has(key)),
      usesTable: shape.tables.length > 0 || usesTable(shape.operation, tokens),
      scalars: isBatch ? scalars : undefined,
      literals: joined(literals),
      scalarLiterals: joined(scalarLiterals),
      control: transactionControl(text),
      commitsFirst: commitsImplicitly(text, this.#dialect),
    }
    const statements = isRaw ? this.#rawStatements : this.#statements
    statements.add(statement)
    return statement
  }

  #shapeOf(shape: QueryShape): ShapeStatistics {
    const known = this.#shapesByText.get(shape.text)
    if (known !== undefined) return known
    if (this.#shapesByText.size >= this.#maxShapes) this.#evictOld()
    const added = new ShapeStatistics(shape)
    this.#shapesByText.set(shape.text, added)
    return added
  }

  /** Evicts the oldest shape that has not run again since the last search, and gives the others a second chance. */
  #evictOld(): void {
    for (const [text, shape] of this.#shapesByText) {
      this.#shapesByText.delete(text)
      if (!shape.isRecent) {
        shape.isEvicted = true
        this.#overflow.merge(shape)
        return
      }
      shape.isRecent = false
      this.#shapesByText.set(text, shape)
    }
  }
}

/**
 * Statements by their SQL. Comments and `in` lists of every length make more and more texts, so the oldest are dropped. They
 * are analysed again if they return.
 */
class KeptStatements {
  readonly #max: number
  readonly #onDropped: (statement: Statement) => void
  readonly #statementsBySql = new Map<string, Statement>()
  #length = 0

  constructor(max: number, onDropped: (statement: Statement) => void) {
    this.#max = max
    this.#onDropped = onDropped
  }

  get(sql: string): Statement | undefined {
    return this.#statementsBySql.get(sql)
  }

  add(statement: Statement): void {
    if (!this.#statementsBySql.has(statement.sql)) this.#length += statement.sql.length
    this.#statementsBySql.set(statement.sql, statement)
    for (const [sql, oldest] of this.#statementsBySql) {
      if (this.#statementsBySql.size <= this.#max && this.#length <= maxLength) break
      this.#statementsBySql.delete(sql)
      this.#length -= sql.length
      this.#onDropped(oldest)
    }
  }
}

function joined(literals: readonly string[]): string | undefined {
  if (literals.length === 0) return undefined
  const text = literals.join('\0')
  return text.length > longestLiterals ? nodeCrypto().hash('sha256', text) : text
}
