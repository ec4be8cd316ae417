export { classifyError, type ErrorClass } from './database/classify-error.ts'
export type { ErrorKind } from './database/error-kinds.ts'
export {
  CommitAmbiguousError,
  type Holder,
  NPlusOneError,
  PoolTimeoutError,
  QueryBudgetError,
  QueryTimeoutError,
} from './database/errors.ts'
export { instrument } from './database/instrument.ts'
export { type ExpectQueriesOptions, expectQueries } from './database/n-plus-one/expect-queries.ts'
export { ignoreNPlusOne, type QueryScopeOptions, withQueryScope } from './database/n-plus-one/query-scope.ts'
export { type MysqlPoolLike, tuneMysqlPool } from './database/pool/mysql-pool.ts'
export { type PgPoolLike, tunePgPool } from './database/pool/pg-pool.ts'
export { type PoolOptionsByDriver, type PoolSettings, poolOptions } from './database/pool/pool-options.ts'
export type { PoolTuning } from './database/pool/pool-tuning.ts'
export { type InstrumentedKysely, queryReport } from './database/query-report.ts'
export {
  cachedStatements,
  type SqliteDatabaseFacade,
  type SqliteDatabaseLike,
  type SqliteStatementLike,
} from './database/sqlite/cached-statements.ts'
export {
  type NodeDatabase,
  type NodeSqliteOptions,
  type NodeStatement,
  nodeSqlite,
} from './database/sqlite/node-sqlite.ts'
export { sqlitePragmas } from './database/sqlite/sqlite-pragmas.ts'
export { type RetryTransactionOptions, retryTransaction } from './database/transactions/retry-transaction.ts'
export type {
  AbandonedQueries,
  AutoBatchOptions,
  AutoBatchReport,
  AutoBatchShape,
  CallSite,
  IndexAdvice,
  InstrumentOptions,
  NPlusOne,
  NPlusOneOptions,
  OutsideTransaction,
  PoolStats,
  QueryEvent,
  QueryMonitor,
  QueryOperation,
  QueryReport,
  QueryStats,
  SlowQuery,
} from './database/types.ts'
export { ClosedError, PeerMissingError, PosthasteError } from './shared/errors.ts'
export type { Duration } from './shared/time/duration.ts'
