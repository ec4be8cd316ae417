// The global `performance` is a getter. Calling it costs a quarter of reading the clock.
import { performance } from 'node:perf_hooks'
import type { CompiledQuery } from 'kysely'
import { notify } from '../shared/rejections.ts'
import { wait } from '../shared/scope/wait-names.ts'
import { holdLoop } from '../shared/scope/waits.ts'
import type { SqlDialect } from '../shared/sql/statement.ts'
import { lookupsOf } from './auto-batch/join-plan.ts'
import type { NPlusOneDetector } from './n-plus-one/n-plus-one-detector.ts'
import { currentScope, type QueryScope } from './n-plus-one/query-scope.ts'
import type { RepeatedQuery } from './n-plus-one/repeated-query.ts'
import { QueryStatistics, type Statement } from './statistics/query-statistics.ts'
import type { SlowQueries } from './statistics/slow-queries.ts'
import type { QueryEvent, QueryMonitor } from './types.ts'

export interface RunningQuery {
  readonly query: CompiledQuery
  readonly statement: Statement
  readonly scope: QueryScope | undefined
  readonly repeated: RepeatedQuery | undefined
  readonly acquireMs: number
  readonly inTransaction: boolean
  readonly startedAt: number
}

interface QueryObserverOptions {
  readonly dialect: SqlDialect
  readonly detector: NPlusOneDetector | undefined
  readonly slowQueries: SlowQueries
  readonly monitor: QueryMonitor | undefined
  readonly onQuery: ((event: QueryEvent) => void) | undefined
}

/** Counts and times the queries of one `Kysely`, and reports them to the detector, the monitor and the listeners. */
export class QueryObserver {
  readonly statistics: QueryStatistics
  readonly #detector: NPlusOneDetector | undefined
  readonly #slowQueries: SlowQueries
  readonly #monitor: QueryMonitor | undefined
  readonly #onQuery: ((event: QueryEvent) => void) | undefined
  /** The query that was built last and has not started yet. */
  #built: CompiledQuery | undefined

  constructor({ dialect, detector, slowQueries, monitor, onQuery }: QueryObserverOptions) {
    this.statistics = new QueryStatistics(dialect)
    this.#detector = detector
    this.#slowQueries = slowQueries
    this.#monitor = monitor
    this.#onQuery = onQuery
  }

  recordBuilt(query: CompiledQuery): void {
    this.#built = query
    const scope = this.#detector && currentScope()
    if (scope !== undefined) this.#detector?.recordBuilt(scope, this.statistics.statementOf(query), query)
  }

  /**
   * The shape of the query that was built but has not started. A caller that requests a connection now is about to run
   * it.
   */
  builtShape(): string | undefined {
    return this.#built === undefined ? undefined : this.statistics.statementOf(this.#built).shape.text
  }

  /** @throws NPlusOneError or QueryBudgetError in mode `'throw'` */
  recordStart(query: CompiledQuery, acquireMs: number, inTransaction: boolean, streamed: boolean): RunningQuery {
    const lookups = lookupsOf(query)
    const statement = this.statistics.statementOf(lookups?.[0] ?? query)
    this.#built = undefined
    const scope = currentScope()
    let repeated: RepeatedQuery | undefined
    if (scope !== undefined && statement.control === undefined) {
      scope.countQuery()
      repeated = this.#detector?.recordRun(scope, statement, query)
    }
    const startedAt = performance.now()
    // For a stream, only the waits for its chunks count.
    if (!streamed) scope?.request.waits.begin(wait.database, startedAt)
    return { query, statement, scope, repeated, acquireMs, inTransaction, startedAt }
  }

  /** @param error - set when the query failed */
  recordEnd(running: RunningQuery, rows: number, streamed: boolean, error?: unknown): void {
    const now = performance.now()
    const durationMs = now - running.startedAt
    const { statement, scope, repeated } = running
    if (scope !== undefined && !streamed) {
      const { waits } = scope.request
      waits.end(wait.database, now)
      holdLoop(waits, now)
    }
    statement.shape.record(durationMs, rows, error !== undefined)
    repeated?.addDuration(durationMs)
    this.#monitor?.recordTiming('db.query', durationMs)
    if (durationMs >= this.#slowQueries.thresholdMs && statement.control === undefined) {
      const joined = joinedOf(running.query)
      this.#slowQueries.add(running.query, statement.shape, { durationMs, rows, scope: scope?.name, ...joined })
    }
    if (this.#onQuery !== undefined) notify(this.#onQuery, eventOf(running, durationMs, rows, streamed, error))
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
    ...joinedOf(query),
    ...(error === undefined ? {} : { error }),
    ...(name === undefined ? {} : { scope: name }),
  }
}

/** How many lookups a joined statement answers. */
function joinedOf(query: CompiledQuery): { readonly lookups?: number } {
  const lookups = lookupsOf(query)
  return lookups === undefined ? {} : { lookups: lookups.length }
}
