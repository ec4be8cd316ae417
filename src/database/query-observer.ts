// The global of the same name is a getter that costs a quarter of reading the clock.
import { performance } from 'node:perf_hooks'
import type { CompiledQuery } from 'kysely'
import type { NPlusOneDetector } from './n-plus-one.ts'
import { currentScope, type QueryScope } from './query-scope.ts'
import { QueryStatistics, type Statement } from './query-statistics.ts'
import type { RepeatedQuery } from './repeated-query.ts'
import type { SlowQueries } from './slow-queries.ts'
import type { QueryEvent, QueryMonitor } from './types.ts'

/** What a query that runs has to remember until it ends. */
export interface RunningQuery {
  readonly query: CompiledQuery
  readonly statement: Statement
  readonly scope: QueryScope | undefined
  readonly repeated: RepeatedQuery | undefined
  readonly acquireMs: number
  readonly inTransaction: boolean
  readonly startedAt: number
}

interface Parts {
  readonly detector: NPlusOneDetector | undefined
  readonly slow: SlowQueries
  readonly monitor: QueryMonitor | undefined
  readonly onQuery: ((event: QueryEvent) => void) | undefined
}

/** Watches the queries of one `Kysely`: counts, times, and passes them on to whoever wants to know. */
export class QueryObserver {
  readonly statistics: QueryStatistics = new QueryStatistics()
  readonly #parts: Parts
  #built: CompiledQuery | undefined

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** The compiler made a query; as a rule it runs next. */
  built(query: CompiledQuery): void {
    this.#built = query
    if (this.#parts.detector !== undefined && currentScope() !== undefined) {
      this.#parts.detector.built(this.statistics.of(query), query)
    }
  }

  /** The shape of what was built and has not run, which is what wants a connection now. */
  next(): string | undefined {
    return this.#built === undefined ? undefined : this.statistics.of(this.#built).shape.text
  }

  /**
   * A query is about to run.
   *
   * @throws what the N+1 detector throws in mode `'throw'`
   */
  starts(query: CompiledQuery, acquireMs: number, inTransaction: boolean): RunningQuery {
    const statement = this.statistics.of(query)
    this.#built = undefined
    const scope = currentScope()
    let repeated: RepeatedQuery | undefined
    if (scope !== undefined && statement.control === undefined) {
      for (let each: QueryScope | undefined = scope; each !== undefined; each = each.parent) each.queries += 1
      repeated = this.#parts.detector?.runs(scope, statement, query)
    }
    return { query, statement, scope, repeated, acquireMs, inTransaction, startedAt: performance.now() }
  }

  /** @param error - why it failed, if it did */
  ended(running: RunningQuery, rows: number, streamed: boolean, error?: unknown): void {
    const durationMs = performance.now() - running.startedAt
    const { statement, scope, repeated } = running
    const { monitor, slow, onQuery } = this.#parts
    statement.shape.record(durationMs, rows, error !== undefined)
    if (repeated !== undefined) repeated.totalMs += durationMs
    monitor?.recordTiming('db.query', durationMs)
    if (durationMs >= slow.thresholdMs && statement.control === undefined) {
      slow.add(running.query, statement.shape, { durationMs, rows, scope: scope?.name })
    }
    if (onQuery !== undefined) tell(onQuery, eventOf(running, durationMs, rows, streamed, error))
  }
}

function eventOf(
  { query, statement, scope, acquireMs, inTransaction }: RunningQuery,
  durationMs: number,
  rows: number,
  streamed: boolean,
  error: unknown,
): QueryEvent {
  const { text, operation, tables } = statement.shape
  const name = scope?.name
  return {
    sql: query.sql,
    shape: text,
    operation,
    tables,
    durationMs,
    acquireMs,
    rows,
    inTransaction,
    streamed,
    ...(error === undefined ? {} : { error }),
    ...(name === undefined ? {} : { scope: name }),
  }
}

/** A listener's mistake must not fail the query it was told about. */
function tell<Event>(listener: (event: Event) => void, event: Event): void {
  try {
    listener(event)
  } catch {}
}
