import type { CompiledQuery } from 'kysely'
import { DurationHistogram } from './duration-histogram.ts'
import { describeQuery, isBatch, type QueryShape, shapeText } from './query-shape.ts'
import { type TransactionControl, transactionControl } from './transaction-control.ts'
import type { QueryOperation, QueryStats } from './types.ts'

/** One SQL text. Many of them can have the same shape. */
export interface Statement {
  readonly sql: string
  readonly shape: ShapeStatistics
  /** It does the work of many queries, so that repeating it is no N+1. */
  readonly batch: boolean
  /** What it does to the transaction, when it is `begin`, `commit` and so on. */
  readonly control: TransactionControl | undefined
}

const lengths = 512

/** Counts and times queries by shape. Bounded: the shapes beyond the limit are counted together. */
export class QueryStatistics {
  readonly #maxShapes: number
  readonly #statements = new Map<string, Statement>()
  readonly #shapes = new Map<string, ShapeStatistics>()
  /** The statement seen last of each length. */
  readonly #byLength = new Array<Statement | undefined>(lengths)

  constructor(maxShapes = 500) {
    this.#maxShapes = maxShapes
  }

  /** What is known of the query's SQL. */
  of(query: CompiledQuery): Statement {
    // Kysely makes the text anew each time, and comparing it costs half of what hashing it for a map does.
    const { length } = query.sql
    const likely = this.#byLength[length % lengths]
    if (likely !== undefined && likely.sql === query.sql) return likely
    const statement = this.#statements.get(query.sql) ?? this.#add(query)
    this.#byLength[length % lengths] = statement
    return statement
  }

  /** The shapes that ran, the most expensive first. */
  snapshot(): QueryStats[] {
    return [...this.#shapes.values()]
      .filter(({ count }) => count > 0)
      .sort((one, other) => other.totalMs - one.totalMs)
      .map((shape) => shape.snapshot())
  }

  #add(query: CompiledQuery): Statement {
    const { sql } = query
    const text = shapeText(sql)
    const control = transactionControl(sql)
    const description = describeQuery(query.query, sql)
    const statement = { sql, shape: this.#shape({ text, ...description }), batch: isBatch(sql), control }
    // Lists of every length make texts without end: the oldest one goes, and comes back when it is seen again.
    if (this.#statements.size >= this.#maxShapes * 4) {
      for (const oldest of this.#statements.keys()) {
        this.#statements.delete(oldest)
        break
      }
    }
    this.#statements.set(sql, statement)
    return statement
  }

  #shape(shape: QueryShape): ShapeStatistics {
    const known = this.#shapes.get(shape.text)
    if (known !== undefined) return known
    if (this.#shapes.size < this.#maxShapes) return this.#insert(shape.text, shape)
    // Not counted on its own, but invalidation still needs to know which tables it writes.
    const overflow = this.#shapes.get(overflowText) ?? this.#insert(overflowText, { ...shape, ...overflowShape })
    return new ShapeStatistics(shape, overflow)
  }

  #insert(text: string, shape: QueryShape): ShapeStatistics {
    const statistics = new ShapeStatistics(shape)
    this.#shapes.set(text, statistics)
    return statistics
  }
}

const overflowText = '(overflow)'
const overflowShape = { text: overflowText, operation: 'other', tables: [], writes: [] } as const

/** The runs of one shape. */
export class ShapeStatistics implements QueryShape {
  readonly text: string
  readonly operation: QueryOperation
  readonly tables: readonly string[]
  readonly writes: readonly string[]
  count = 0
  totalMs = 0
  #errors = 0
  #rows = 0
  #maxMs = 0
  readonly #countedBy: ShapeStatistics | undefined
  #durations: DurationHistogram | undefined

  constructor({ text, operation, tables, writes }: QueryShape, countedBy?: ShapeStatistics) {
    this.text = text
    this.operation = operation
    this.tables = tables
    this.writes = writes
    this.#countedBy = countedBy
  }

  record(durationMs: number, rows: number, failed: boolean): void {
    if (this.#countedBy !== undefined) {
      this.#countedBy.record(durationMs, rows, failed)
      return
    }
    this.count += 1
    this.totalMs += durationMs
    this.#rows += rows
    if (failed) this.#errors += 1
    if (durationMs > this.#maxMs) this.#maxMs = durationMs
    this.#durations ??= new DurationHistogram()
    this.#durations.record(durationMs)
  }

  /** Of a shape that ran. */
  snapshot(): QueryStats {
    const durations = this.#durations as DurationHistogram
    return {
      shape: this.text,
      operation: this.operation,
      tables: this.tables,
      count: this.count,
      errors: this.#errors,
      rows: this.#rows,
      totalMs: this.totalMs,
      maxMs: this.#maxMs,
      p50Ms: durations.percentile(0.5),
      p95Ms: durations.percentile(0.95),
      p99Ms: durations.percentile(0.99),
    }
  }
}
