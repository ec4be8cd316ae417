import { createCache as createPlainCache } from './cache/create-cache.ts'
import type { CacheOptions } from './cache/options.ts'
import { type HttpCache, withHttp } from './http/with-http.ts'

// pagination
export { countRows } from './pagination/count-rows.ts'
export {
  CursorInvalidError,
  CursorMismatchError,
  KeyNullError,
  ListQueryError,
  type ListQueryIssue,
  PageInvalidError,
  PageTooDeepError,
  QueryUnsupportedError,
} from './pagination/errors.ts'
export type { ExplainOptions, PageExplanation } from './pagination/explain.ts'
export { date, flag, type IntOptions, int, manyOf, oneOf, type TextOptions, text } from './pagination/fields.ts'
export type { Field, FieldOptions, Fields, JsonSchema } from './pagination/fields-kind.ts'
export { type LinkedPage, linkHeader } from './pagination/link-header.ts'
export { listQuery } from './pagination/list-query.ts'
export type { SortSpec, SortSpecs } from './pagination/list-query-sort.ts'
export type { ListQuery, ListQueryInput, ListQueryOptions, ParsedListQuery } from './pagination/list-query-types.ts'
export {
  createPaginator,
  cursorPaginate,
  expectSeek,
  explainPage,
  type Paginator,
  type PaginatorOptions,
  paginate,
  readChunks,
  readRows,
  relayConnection,
} from './pagination/paginator.ts'
export type {
  Chunk,
  ChunkReader,
  Connection,
  ConnectionArguments,
  CursorPage,
  CursorPaginateOptions,
  JumpTarget,
  NullsPlacement,
  OrderOptions,
  Page,
  PaginateOptions,
  ReadOptions,
  RelayConnectionOptions,
  RowReader,
  SortDirection,
  SortKey,
  SqlDialect,
  Total,
  TotalKind,
  UniqueKey,
} from './pagination/types.ts'

// cache
export { type CacheableQuery, type CachedQueryOptions, cachedQuery } from './cache/cached-query.ts'
export type { MissReason, ProfileStats, StoreErrorKind } from './cache/counters.ts'
export { LoadTimeoutError } from './cache/errors.ts'
export type { CacheErrorEvent, CacheEvents, InvalidateEvent, StoreState } from './cache/events.ts'
export type { LoadMany } from './cache/gathered-loads.ts'
export type { Key } from './cache/key.ts'
export type { KeyvLike } from './cache/keyv-client.ts'
export type { CacheOptions } from './cache/options.ts'
export type { ProfileOptions } from './cache/profile.ts'
export type { RedisClientLike, RedisOptions } from './cache/redis-client.ts'
export type { StandardSchema, Validate } from './cache/standard-schema.ts'
export { type TableTag, type TagSpec, tags } from './cache/tags.ts'
export type {
  CacheStats,
  EntryOptions,
  Explanation,
  GetOrSetManyOptions,
  GetOrSetOptions,
  Invalidation,
  Load,
  LoadContext,
  LoadManyContext,
  WrapOptions,
  Wrapped,
} from './cache/types.ts'

// monitor
export type { AlertOptions, AlertRule } from './monitor/alert-rules.ts'
export type { CacheCounters } from './monitor/caches.ts'
export { checkCache, checkDisk, checkKysely, type QueryRunner } from './monitor/checks.ts'
export type { Naming } from './monitor/exposition/families.ts'
export { clusterFleet } from './monitor/fleet/cluster.ts'
export { type FleetRedisClient, redisFleet } from './monitor/fleet/redis.ts'
export type { FleetMember, FleetOptions, FleetTransport } from './monitor/fleet/transport.ts'
export type { CheckFunction, CheckOptions, HealthKind } from './monitor/health.ts'
export { type MonitorEvents, PerformanceMonitor, type PrometheusOptions } from './monitor/monitor.ts'
export type { HealthOptions, MonitorOptions } from './monitor/options.ts'
export { type MeterLike, type ObservableCallback, type ObservableLike, otelMetrics } from './monitor/otel.ts'
export type { CompletedRequest } from './monitor/recorder.ts'
export type {
  ActiveAlert,
  AlertCause,
  AlertEvent,
  AlertId,
  CacheLike,
  CacheRow,
  CheckEvent,
  CheckResult,
  CorrectedMs,
  DatabaseSection,
  DiskUsage,
  EndpointStats,
  FleetMemberStats,
  FleetStats,
  HealthReport,
  LatencyMs,
  LimitSource,
  Outcome,
  OverloadReason,
  ProcessUsage,
  RequestStats,
  SlowRequest,
  StallEvent,
  StatsDocument,
  StatsQuery,
  SystemStats,
  TimingStats,
} from './monitor/types.ts'

// batch
export { type AsyncChunksOptions, asyncChunks } from './batch/async-chunks.ts'
export { batchProcess, batchProcessChunks } from './batch/batch-process.ts'
export type { BatchJob, BatchJobResult, BatchQueue, BatchWorker } from './batch/bullmq.ts'
export {
  type Checkpoint,
  type CheckpointStore,
  memoryCheckpoints,
  type TransactionalCheckpointStore,
} from './batch/checkpoints.ts'
export { chunks } from './batch/chunks.ts'
export type { BatchContext } from './batch/context.ts'
export { type DistributeOptions, distributeBatches } from './batch/distribute.ts'
export { BatchError, type BatchFailure, type BatchResult } from './batch/errors.ts'
export { fileCheckpoints } from './batch/file-checkpoints.ts'
export { type KyselyCheckpointsOptions, kyselyCheckpoints } from './batch/kysely-checkpoints.ts'
export { type MapBatchesOptions, mapBatches } from './batch/map-batches.ts'
export type { BatchOptions, OnError } from './batch/options.ts'
export type { BatchProgress } from './batch/progress.ts'
export type { Items, ResumableSource } from './batch/source.ts'
export { type BatchWorkerOptions, batchWorker } from './batch/worker.ts'

// database
export {
  cachedStatements,
  type SqliteDatabaseFacade,
  type SqliteDatabaseLike,
  type SqliteStatementLike,
} from './database/cached-statements.ts'
export { classifyError, type ErrorClass, type ErrorKind } from './database/classify-error.ts'
export {
  CommitAmbiguousError,
  type Holder,
  NPlusOneError,
  PoolTimeoutError,
  QueryBudgetError,
  QueryTimeoutError,
} from './database/errors.ts'
export { type ExpectQueriesOptions, expectQueries } from './database/expect-queries.ts'
export { instrument } from './database/instrument.ts'
export { type MysqlPoolLike, tuneMysqlPool } from './database/mysql-pool.ts'
export { type NodeDatabase, type NodeStatement, nodeSqlite } from './database/node-sqlite.ts'
export { type PgPoolLike, tunePgPool } from './database/pg-pool.ts'
export { type PoolOptionsByDriver, type PoolSettings, poolOptions } from './database/pool-options.ts'
export type { PoolTuning } from './database/pool-tuning.ts'
export { type InstrumentedKysely, queryReport } from './database/query-report.ts'
export { ignoreNPlusOne, type QueryScopeOptions, withQueryScope } from './database/query-scope.ts'
export { type RetryTransactionOptions, retryTransaction } from './database/retry-transaction.ts'
export { sqlitePragmas } from './database/sqlite-pragmas.ts'
export type {
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

// http
export type { ContentCoding, Encoding } from './http/codecs.ts'
export {
  CompressedJSONResponse,
  type CompressedJSONResponseInit,
  compressJson,
  type JsonAnswer,
} from './http/compress-json.ts'
export type { CompressibleRequest } from './http/compressible-request.ts'
export {
  type CompressOptions,
  type Compressor,
  createCompressor,
  type EncodedBody,
  type EncodedStream,
  type OnEncoded,
} from './http/compressor.ts'
export type { CompressibleHead, EncodedHead, SkipReason } from './http/encoding-plan.ts'
export type { FetchHandler } from './http/fetch-cache.ts'
export type { HttpCacheOptions, ResponseStore } from './http/http-cache-options.ts'
export { negotiateEncoding } from './http/negotiate-encoding.ts'
export type { HttpCache as Cache } from './http/with-http.ts'

// shared
export type { Casing } from './shared/casing.ts'
export type { Clock } from './shared/clock.ts'
export type { Duration } from './shared/duration.ts'
export { type Settings, settingsFromEnv } from './shared/env.ts'
export {
  ClientInputError,
  ClosedError,
  PeerMissingError,
  PosthasteError,
  type ProblemDetails,
  problemDetails,
} from './shared/errors.ts'
export { type RetryContext, type RetryEvent, type RetryOptions, withRetry } from './shared/retry.ts'
export type { OnWarn, Warning } from './shared/warnings.ts'

/**
 * A cache that cannot serve what was invalidated: in this process's memory, and with `redis` or `store` shared by many.
 *
 * @throws TypeError or RangeError when an option is wrong
 *
 * @example
 * ```ts
 * const cache = createCache({ profiles: { users: '5m' }, tags: tags<'users' | `user:${number}`>() })
 * const user = await cache.getOrSet(['user', 5], () => ({ name: 'Ann' }), { profile: 'users', tags: ['user:5'] })
 * await cache.invalidateTags('user:5')
 * ```
 */
export function createCache<Name extends string = 'default', Tag extends string = string>(
  options?: CacheOptions<Name, Tag>,
): HttpCache<Name, Tag> {
  // Put together here, because neither the cache nor what is of HTTP may know the other.
  return withHttp(createPlainCache(options))
}
