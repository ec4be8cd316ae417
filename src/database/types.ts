import type { Duration } from '../shared/duration.ts'
import type { OnWarn } from '../shared/warnings.ts'

/** What a query does. `'other'` are DDL, raw statements whose first word says nothing, and transaction control. */
export type QueryOperation = 'select' | 'insert' | 'update' | 'delete' | 'merge' | 'other'

/** A line of the user's own code. */
export interface CallSite {
  /** As V8 names it; `undefined` at the top level of a module and in anonymous functions. */
  readonly function?: string | undefined
  readonly file: string
  readonly line: number
  readonly column: number
}

/** One query that ran, as `onQuery` gets it. */
export interface QueryEvent {
  /** Never with values: parameters are not part of it. */
  readonly sql: string
  /** {@link QueryEvent.sql} with lists of parameters and rows folded, the same for every run of the same query. */
  readonly shape: string
  readonly operation: QueryOperation
  /** Tables it reads or writes, without their schema. */
  readonly tables: readonly string[]
  readonly durationMs: number
  /** How long its connection took to get; 0 for the second query on a connection. */
  readonly acquireMs: number
  /** Rows it returned. */
  readonly rows: number
  /** Why it failed. */
  readonly error?: unknown
  readonly inTransaction: boolean
  readonly streamed: boolean
  /** The query scope it ran in, as in `GET /users/:id`. */
  readonly scope?: string | undefined
}

/** All runs of one query shape since the start. */
export interface QueryStats {
  readonly shape: string
  readonly operation: QueryOperation
  readonly tables: readonly string[]
  readonly count: number
  readonly errors: number
  readonly rows: number
  readonly totalMs: number
  readonly maxMs: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
}

/** A query that took longer than `slow`. */
export interface SlowQuery {
  /** When it ended, ISO 8601. */
  readonly at: string
  readonly shape: string
  readonly durationMs: number
  readonly rows: number
  readonly scope?: string | undefined
  /** The database's own plan, once EXPLAIN has answered: one line a step, or the JSON that PostgreSQL and MySQL give. */
  readonly plan?: string | undefined
}

/** A pattern that one request should not have. */
export interface NPlusOne {
  /** The same query with other values, the same query with the same values, or more queries than `maxQueries`. */
  readonly kind: 'n+1' | 'duplicate' | 'budget'
  readonly shape: string
  /** Runs within the scope, still counting while it is open. */
  readonly count: number
  readonly distinctParameters: number
  /** Of these runs together. */
  readonly totalMs: number
  readonly scope: string
  /** The line that built the query. */
  readonly callSite?: CallSite | undefined
  /** The line of the loop around it; the same as `callSite` when the query stands in the loop itself. */
  readonly loopSite?: CallSite | undefined
  /** What to write instead, in Kysely. */
  readonly suggestion: string
}

/** An index that would help a slow query. */
export interface IndexAdvice {
  readonly table: string
  readonly columns: readonly string[]
  /** The migration, in Kysely. */
  readonly kysely: string
  /** The same in SQL. */
  readonly ddl: string
  /** The query it is for. */
  readonly shape: string
  /** Whether the planner of SQLite chose it in a copy of the schema with the same statistics; elsewhere it is a proposal. */
  readonly proven: boolean
  /** The plan without it. */
  readonly before: string
  /** The plan with it, where it was proven. */
  readonly after?: string | undefined
}

/** A query that took its own connection while its request held a transaction: `db` where `trx` was meant, as a rule. */
export interface OutsideTransaction {
  readonly shape: string
  /** Those that got their connection. With a single one none does: 0 tells of a query that has been waiting for long. */
  readonly count: number
  readonly scope: string
  readonly callSite?: CallSite | undefined
}

/** A pool as it is now, and what it did so far. */
export interface PoolStats {
  /** Connections that exist. */
  readonly total: number
  readonly idle: number
  /** Connections somebody holds. */
  readonly inUse: number
  /** Callers that wait for one. */
  readonly waiting: number
  readonly max: number
  readonly acquired: number
  /** Callers that gave up: `ERR_POOL_TIMEOUT`. */
  readonly timeouts: number
  readonly pings: number
  /** Connections that a ping found dead. */
  readonly failedPings: number
  /** Connections closed because of their age. */
  readonly recycled: number
  /** Connections held longer than `leakAfter`. */
  readonly leaks: number
  /** Errors of connections that somebody held, which would have ended the process. */
  readonly lostInUse: number
}

/** What the instrumentation has seen. */
export interface QueryReport {
  /** The shapes that cost the most time in total, first. */
  readonly queries: readonly QueryStats[]
  /** The last 100, newest first. */
  readonly slow: readonly SlowQuery[]
  readonly nPlusOne: readonly NPlusOne[]
  readonly advice: readonly IndexAdvice[]
  readonly outsideTransaction: readonly OutsideTransaction[]
  readonly pool?: PoolStats | undefined
}

/** What writes tell about the tables they changed. Every `Cache` is one. */
export interface TagInvalidator {
  invalidateTags(...tags: `table:${string}`[]): unknown
}

/** What the instrumentation needs of a monitor. `PerformanceMonitor` is one. */
export interface QueryMonitor {
  recordTiming(name: string, durationMs: number): void
  addSource?(name: string, read: () => unknown): unknown
}

/** When and how repeated queries are reported. */
export interface NPlusOneOptions {
  /** Runs of one shape within one scope from which it is a pattern. @defaultValue 5 */
  readonly threshold?: number | undefined
  /**
   * `'warn'` tells `onNPlusOne`, or `onWarn` without one; `'throw'` rejects the query that reaches the threshold with
   * `ERR_N_PLUS_ONE`; `'silent'` only fills the report. @defaultValue `'warn'`
   */
  readonly mode?: 'warn' | 'throw' | 'silent' | undefined
}

/** Options of `instrument`. */
export interface InstrumentOptions {
  /** Gets the durations as `db.query`, and shows the report in its `database` section. */
  readonly monitor?: QueryMonitor | undefined
  /** Is told `table:<name>` for every table a write changed, after COMMIT. */
  readonly invalidates?: TagInvalidator | undefined
  /** The tuned pool, for `queryReport(db).pool`. */
  readonly pool?: { stats(): PoolStats } | undefined
  /** From when a query counts as slow. @defaultValue `'200ms'` */
  readonly slow?: Duration | undefined
  /**
   * Asks the database for the plan of a slow SELECT: plain EXPLAIN, which executes nothing, on a connection of its own,
   * once per shape and hour. @defaultValue `'plan'`, and `false` when `NODE_ENV` is `production`
   */
  readonly explain?: false | 'plan' | undefined
  /** Finds queries that one scope repeats. @defaultValue `{ threshold: 5, mode: 'warn' }` */
  readonly nPlusOne?: false | NPlusOneOptions | undefined
  /**
   * Prepared statements kept per connection. On SQLite the database must come from `cachedStatements` or `nodeSqlite`.
   * PostgreSQL gets named statements from a query's second run on; leave it off behind a PgBouncer before 1.21.
   * @defaultValue 100 on SQLite, `false` elsewhere
   */
  readonly statementCache?: number | false | undefined
  /**
   * Cancels a query on the server when it takes longer, and rejects it with `ERR_QUERY_TIMEOUT`. Of a stream it limits the
   * wait for each part of the rows, not the time its reader takes. @defaultValue none
   */
  readonly timeout?: Duration | undefined
  /** Derives indexes for slow SELECTs whose plan scans or sorts. Needs `explain`. @defaultValue true */
  readonly indexAdvice?: boolean | undefined
  /** Called after every query. What it throws is ignored. */
  readonly onQuery?: ((event: QueryEvent) => void) | undefined
  /** Called after every slow query; `plan` is not there yet. */
  readonly onSlow?: ((query: SlowQuery) => void) | undefined
  /** Called for each pattern: when its scope ends, or when it shows after that. */
  readonly onNPlusOne?: ((finding: NPlusOne) => void) | undefined
  /** Receives warnings. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}
