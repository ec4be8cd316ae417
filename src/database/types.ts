import type { Duration } from '../shared/time/duration.ts'
import type { OnWarn } from '../shared/warnings.ts'

/** `'other'` stands for DDL, transaction control, and raw SQL that starts with another word. */
export type QueryOperation = 'select' | 'insert' | 'update' | 'delete' | 'merge' | 'other'

/** A line of the user's code. */
export interface CallSite {
  /** In V8's notation; `undefined` at the top level of a module and in anonymous functions. */
  readonly function?: string | undefined
  readonly file: string
  readonly line: number
  readonly column: number
}

/** One query that has run, as passed to `onQuery`. */
export interface QueryEvent {
  /** With placeholders, never with the values of parameters. */
  readonly sql: string
  /** {@link QueryEvent.sql} with lists of parameters and rows folded, so that all runs of a query have the same shape. */
  readonly shape: string
  readonly operation: QueryOperation
  /** Tables that the query reads or writes, without their schema. */
  readonly tables: readonly string[]
  readonly durationMs: number
  /** How long the query waited for its connection; 0 for later queries on the same connection. */
  readonly acquireMs: number
  /** Number of rows returned. */
  readonly rows: number
  /** Set when the query failed. */
  readonly error?: unknown
  readonly inTransaction: boolean
  readonly streamed: boolean
  /** The query scope, such as `GET /users/:id`. */
  readonly scope?: string | undefined
  /** How many lookups the statement answers, when `autoBatch` has joined them. `shape` is the shape of one of them. */
  readonly lookups?: number | undefined
}

/** Totals of one query shape since the start. */
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
  /** How many lookups it answered, when `autoBatch` has joined them. The plan is the one of the whole statement. */
  readonly lookups?: number | undefined
  /** The database's plan, one line per step. Missing until EXPLAIN has answered. */
  readonly plan?: string | undefined
}

/** A pattern of queries that a request should avoid. */
export interface NPlusOne {
  /** `'n+1'`: one query repeated with other values; `'duplicate'`: with the same values; `'budget'`: more than `maxQueries`. */
  readonly kind: 'n+1' | 'duplicate' | 'budget'
  readonly shape: string
  /** Runs within the scope so far. */
  readonly count: number
  readonly distinctParameters: number
  /** Total duration of these runs. */
  readonly totalMs: number
  readonly scope: string
  /** The line that built the query. */
  readonly callSite?: CallSite | undefined
  /** The line of the loop around it. Equals `callSite` when the loop's own function builds the query. */
  readonly loopSite?: CallSite | undefined
  /** Kysely code that would replace the repeated query. */
  readonly suggestion: string
}

/** An index that would speed up a slow query. */
export interface IndexAdvice {
  readonly table: string
  /** The index's columns in their order; `ddl` has their directions. */
  readonly columns: readonly string[]
  /** The migration, in Kysely. */
  readonly kysely: string
  /** The same in SQL. */
  readonly ddl: string
  /** The slow query. */
  readonly shape: string
  /**
   * Whether SQLite's planner chose the index, in a copy of the schema with the same statistics. Always `false` on other
   * databases: there, an estimate says that the cost falls by half (the planner's on PostgreSQL, counted rows on MySQL
   * and MariaDB).
   */
  readonly proven: boolean
  /** The plan without the index. */
  readonly before: string
  /** The plan with the index, when `proven`. */
  readonly after?: string | undefined
}

/** A query on a second connection while its scope held a transaction: most often `db` where `trx` was meant. */
export interface OutsideTransaction {
  readonly shape: string
  /**
   * How many runs got their connection. 0 means that the query has only waited, as it does if there is a single
   * connection.
   */
  readonly count: number
  readonly scope: string
  readonly callSite?: CallSite | undefined
}

/** The state of a pool, and its counters since the start. */
export interface PoolStats {
  /** Open connections. */
  readonly total: number
  readonly idle: number
  /** Connections that callers hold. */
  readonly inUse: number
  /** Callers that wait for a connection. */
  readonly waiting: number
  readonly max: number
  readonly acquired: number
  /** Requests for a connection that failed with `ERR_POOL_TIMEOUT`. */
  readonly timeouts: number
  readonly pings: number
  /** Pings that found a connection dead. */
  readonly failedPings: number
  /** Connections replaced because of their age, or because their server has become read-only. */
  readonly recycled: number
  /** Connections held longer than `leakAfter`. */
  readonly leaks: number
  /** Connections lost while in use. Without the tuning, each error would have ended the process. */
  readonly lostInUse: number
  /** What callers asked for in the busiest minute; `undefined` while there were too few requests. */
  readonly demand?:
    | {
        /** How long that minute lasted: less than 60 while it is the first. */
        readonly seconds: number
        /** Connections asked for. */
        readonly requests: number
        /** How long each was held, on average. */
        readonly holdMs: number
        /** How long callers waited for it, on average. */
        readonly waitMs: number
      }
    | undefined
}

export interface QueryReport {
  /** The shapes with the longest total time first. */
  readonly queries: readonly QueryStats[]
  /** The last 100 slow queries, newest first. */
  readonly slow: readonly SlowQuery[]
  readonly nPlusOne: readonly NPlusOne[]
  readonly advice: readonly IndexAdvice[]
  readonly outsideTransaction: readonly OutsideTransaction[]
  /** The queries that nobody waited for any more; only with `abandon: 'cancel'`. */
  readonly abandoned?: AbandonedQueries | undefined
  readonly pool?: PoolStats | undefined
  /** How many connections the measured waits and hold times call for, in a sentence. Needs `pool`, and enough requests. */
  readonly poolAdvice?: string | undefined
  readonly autoBatch: AutoBatchReport
}

/** How many SELECTs were ended because the client had left, or the deadline had passed. */
export interface AbandonedQueries {
  /** Cancelled on the server while they ran. */
  readonly cancelled: number
  /** Ended while they waited for a connection. */
  readonly dequeued: number
  /** Asked for afterwards, and not sent. */
  readonly refused: number
}

/** What `autoBatch` has joined; zeros while it is off. */
export interface AutoBatchReport {
  /** Lookups that were joined. */
  readonly queries: number
  /** The statements that answered them. */
  readonly statements: number
  /** Shapes whose lookups have met in one turn, those with the most joined lookups first. */
  readonly shapes: readonly AutoBatchShape[]
}

export interface AutoBatchShape {
  readonly shape: string
  readonly queries: number
  readonly statements: number
  /** Why the lookups run separately. Some reasons end by themselves: after five minutes the shape is tried again. */
  readonly refused?: string | undefined
}

export interface AutoBatchOptions {
  /** The most lookups of one statement. @defaultValue 500; on MySQL and SQLite never more than 100 */
  readonly maxBatch?: number | undefined
}

/** Invalidates cached entries by tag after a write. Any `Cache` can be used. */
export interface TagInvalidator {
  invalidateTags(...tags: `table:${string}`[]): unknown
}

/** Receives durations and the report. A `PerformanceMonitor` can be used. */
export interface QueryMonitor {
  recordTiming(name: string, durationMs: number): void
  addSource?(name: string, read: () => unknown): unknown
}

export interface NPlusOneOptions {
  /** How many runs of one shape within one scope make a pattern. @defaultValue 5 */
  readonly threshold?: number | undefined
  /**
   * `'warn'` calls `onNPlusOne`, or else `onWarn`; `'throw'` rejects the query that reaches the threshold with
   * `ERR_N_PLUS_ONE`; `'silent'` only fills the report. @defaultValue `'warn'`
   */
  readonly mode?: 'warn' | 'throw' | 'silent' | undefined
}

export interface InstrumentOptions {
  /**
   * Records the durations as `db.query`, and shows the report in its `database` section, with those of other databases, until
   * `db.destroy()`, or until nothing refers to the `Kysely` any longer.
   */
  readonly monitor?: QueryMonitor | undefined
  /** Invalidates the tag `table:<name>` of every table that a write changed, after COMMIT. */
  readonly invalidates?: TagInvalidator | undefined
  /** The tuned pool, for `queryReport(db).pool`. */
  readonly pool?: { stats(): PoolStats } | undefined
  /** A query that takes this long or longer is slow. @defaultValue `'200ms'` */
  readonly slow?: Duration | undefined
  /**
   * Asks the database for the plan of a slow SELECT: by plain EXPLAIN, which executes nothing, on a separate connection,
   * once per shape and hour. @defaultValue `'plan'`, and `false` when `NODE_ENV` is `production`
   */
  readonly explain?: false | 'plan' | undefined
  /** Finds queries that one scope repeats. @defaultValue `{ threshold: 5, mode: 'warn' }` */
  readonly nPlusOne?: false | NPlusOneOptions | undefined
  /**
   * Prepared statements kept per connection. On SQLite the database must come from `cachedStatements` or `nodeSqlite`. On
   * PostgreSQL it needs `pg`, and a query with parameters becomes a named statement on its second run; leave it off behind a
   * PgBouncer before 1.21.
   * @defaultValue 100 on SQLite, `false` elsewhere
   */
  readonly statementCache?: number | false | undefined
  /**
   * Cancels a query on the server when it takes longer, and rejects it with `ERR_QUERY_TIMEOUT`. For a stream it limits the
   * wait for each chunk of rows, not the time that the reader takes. @defaultValue none
   */
  readonly timeout?: Duration | undefined
  /**
   * What happens to SELECTs that nobody waits for: those of a request whose client has left or whose `deadline` has
   * passed, and those of an abandoned load in the cache. With `'cancel'`, running SELECTs are cancelled on the server,
   * those that wait for a connection leave the queue, and later ones are not sent. All reject with the reason of the
   * request's signal. Writes, transactions and what a batch reads always run to their end. On SQLite, a running query
   * cannot be cancelled.
   *
   * @defaultValue false
   */
  readonly abandon?: 'cancel' | false | undefined
  /**
   * Joins lookups that are asked for in one turn of the event loop, as by `Promise.all` and GraphQL resolvers. Those with
   * the same SQL but other values are sent as one statement. Rows, types and errors are those of separate queries.
   *
   * @defaultValue false
   */
  readonly autoBatch?: boolean | AutoBatchOptions | undefined
  /** Proposes indexes for slow SELECTs whose plan scans or sorts. Needs `explain`. @defaultValue true */
  readonly indexAdvice?: boolean | undefined
  /** Called after every query. Errors that it throws are ignored. */
  readonly onQuery?: ((event: QueryEvent) => void) | undefined
  /** Called after every slow query, before its `plan` is known. Errors that it throws are ignored. */
  readonly onSlow?: ((query: SlowQuery) => void) | undefined
  /** Called for each pattern when its scope ends, or at once if the scope has ended. Errors that it throws are ignored. */
  readonly onNPlusOne?: ((finding: NPlusOne) => void) | undefined
  /** Receives warnings. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}
