import {
  type CompiledQuery,
  type Dialect,
  type Driver,
  type KyselyConfig,
  PostgresDriver,
  type QueryCompiler,
} from 'kysely'
import { expectObject, expectOneOf, expectOptions, expectWholeNumber, type OptionKinds } from '../shared/arguments.ts'
import { isProduction } from '../shared/platform/runtime.ts'
import { announceReads, enableAbandonment, enableScopes } from '../shared/scope/work.ts'
import { dialectOf, type SqlDialect } from '../shared/sql/statement.ts'
import { parseDuration } from '../shared/time/duration.ts'
import { createWarner, type Warning } from '../shared/warnings.ts'
import { createAutoBatch } from './auto-batch/create-auto-batch.ts'
import { Abandonment } from './cancel/abandonment.ts'
import { replaceKyselyMutex } from './driver/connection-mutex.ts'
import { InstrumentedDriver } from './driver/instrumented-driver.ts'
import type { WithOwnConnection } from './execute.ts'
import { IndexAdvisor } from './index-advice/index-advisor.ts'
import { QueryPlans } from './index-advice/query-plans.ts'
import type { Instrumentation } from './instrumentation.ts'
import { NPlusOneDetector } from './n-plus-one/n-plus-one-detector.ts'
import { poolAdvice } from './pool/pool-demand.ts'
import { QueryObserver } from './query-observer.ts'
import { registerReport } from './query-report.ts'
import { showReport } from './statistics/monitor-section.ts'
import { SlowQueries } from './statistics/slow-queries.ts'
import { StrayQueries } from './transactions/stray-queries.ts'
import { WriteInvalidation } from './transactions/write-invalidation.ts'
import type { InstrumentOptions, QueryReport } from './types.ts'

/**
 * Instruments a `Kysely`: counts and times its queries by shape, keeps the slow ones with their plans, finds queries that one
 * request repeats, invalidates the tables that were written in a cache, and limits how long a query may take. Returns the
 * configuration with its dialect wrapped. `queryReport(db)` shows the results.
 *
 * @throws TypeError or RangeError for a bad option, and for `timeout` on SQLite, whose queries cannot be cancelled
 *
 * @example
 * ```ts
 * const db = new Kysely<Database>(instrument({ dialect: new PostgresDialect({ pool }) }, { slow: '100ms' }))
 * ```
 */
export function instrument<Config extends KyselyConfig>(config: Config, options: InstrumentOptions = {}): Config {
  expectConfig(config)
  expectOptions(options, instrumentOptions)
  const { monitor, invalidates, pool } = options
  if (monitor !== undefined) expectObject(monitor, 'monitor', ['recordTiming'], 'a PerformanceMonitor')
  if (invalidates !== undefined) expectObject(invalidates, 'invalidates', ['invalidateTags'], 'a cache')
  if (pool !== undefined) expectObject(pool, 'pool', ['stats'], 'a pool of `tunePgPool` or `tuneMysqlPool`')
  return { ...config, dialect: instrumentDialect(config.dialect, options) }
}

const instrumentOptions: OptionKinds<InstrumentOptions> = {
  monitor: 'own',
  invalidates: 'own',
  pool: 'own',
  slow: 'own',
  explain: 'own',
  nPlusOne: 'own',
  statementCache: 'own',
  timeout: 'own',
  autoBatch: 'own',
  abandon: 'own',
  indexAdvice: 'boolean',
  onQuery: 'function',
  onSlow: 'function',
  onNPlusOne: 'function',
  onWarn: 'function',
}

/** @throws TypeError for anything but the configuration of a `Kysely`, such as the `Kysely` itself */
function expectConfig(config: KyselyConfig): void {
  expectObject(config, 'config', [], 'the configuration of a Kysely, { dialect }')
  if ('getExecutor' in config) {
    throw new TypeError(
      'Expected `config` to be the configuration of a Kysely, got a Kysely: write new Kysely(instrument({ dialect }))',
    )
  }
  expectObject(config.dialect, 'config.dialect', ['createQueryCompiler'], 'a dialect of Kysely')
}

/** Each `Kysely` made with this dialect gets its own state, because it may have its own database. */
function instrumentDialect(dialect: Dialect, options: InstrumentOptions): Dialect {
  let current = instrumentOnce(dialect, options)
  let isTaken = false
  return {
    // A `Kysely` creates its driver first.
    createDriver() {
      if (isTaken) current = instrumentOnce(dialect, options)
      isTaken = true
      return current.createDriver()
    },
    createQueryCompiler: () => current.createQueryCompiler(),
    createAdapter: () => current.createAdapter(),
    createIntrospector: (db) => dialect.createIntrospector(db),
  }
}

function instrumentOnce(dialect: Dialect, options: InstrumentOptions): Omit<Dialect, 'createIntrospector'> {
  let driver: InstrumentedDriver | undefined
  const sqlDialect = dialectOf(dialect.createQueryCompiler())
  const hasSingleConnection = replaceKyselyMutex(dialect.createAdapter())
  let compiler: QueryCompiler | undefined
  const compile: QueryCompiler['compileQuery'] = (node, queryId) => {
    compiler ??= dialect.createQueryCompiler()
    return compiler.compileQuery(node, queryId)
  }
  const autoBatch = createAutoBatch(options.autoBatch, sqlDialect, compile)
  const { instrumentation, report: reportQueries } = createInstrumentation(
    sqlDialect,
    hasSingleConnection,
    options,
    autoBatch.couldJoin,
    compile,
    // Only queries that the driver has run are explained or cancelled.
    (use) => (driver as InstrumentedDriver).withOwnConnection(use),
  )
  const { observer } = instrumentation
  const report = (): QueryReport => ({ ...reportQueries(), autoBatch: autoBatch.report() })
  const hideReport = options.monitor === undefined ? () => {} : showReport(options.monitor, report)
  return {
    createAdapter() {
      const adapter = dialect.createAdapter()
      registerReport(adapter, report)
      replaceKyselyMutex(adapter)
      return adapter
    },
    createDriver() {
      const inner = dialect.createDriver()
      const usable = withUsableCache(instrumentation, inner)
      driver = new InstrumentedDriver(inner, usable, hasSingleConnection, hideReport)
      return autoBatch.wrapDriver(driver, inner.constructor.name, usable, hasSingleConnection)
    },
    createQueryCompiler() {
      // The compiler is patched in place, because other code recognises compilers by their class. It runs inside
      // `execute()`, with the caller on the stack. It costs less than a plugin, for which every query would have to wait.
      const compiler = dialect.createQueryCompiler()
      const compile = compiler.compileQuery.bind(compiler)
      compiler.compileQuery = (node, queryId) => {
        const query = compile(node, queryId)
        observer.recordBuilt(query)
        autoBatch.recordBuilt(query)
        return query
      }
      return compiler
    },
  }
}

function createInstrumentation(
  dialect: SqlDialect,
  hasSingleConnection: boolean,
  options: InstrumentOptions,
  couldJoin: ((query: CompiledQuery) => boolean) | undefined,
  compile: QueryCompiler['compileQuery'],
  withOwnConnection: WithOwnConnection,
): { readonly instrumentation: Instrumentation; readonly report: () => Omit<QueryReport, 'autoBatch'> } {
  enableScopes()
  announceReads()
  const { monitor, invalidates, pool, slow = '200ms', nPlusOne = {}, statementCache, timeout, onQuery } = options
  const { explain = isProduction() ? false : 'plan', abandon = false, indexAdvice = true, onSlow, onNPlusOne } = options
  const onWarn = createWarner(options.onWarn)
  expectOneOf(explain, 'explain', [false, 'plan'])
  expectOneOf(abandon, 'abandon', ['cancel', false])
  if (abandon === 'cancel') enableAbandonment()
  const advisor = new IndexAdvisor(dialect, withOwnConnection, (node) => compile(node, adviceQueryId))
  const plans = new QueryPlans(dialect, withOwnConnection, indexAdvice ? advisor : undefined)
  const slowQueries = new SlowQueries(
    parseDuration(slow, 'slow'),
    explain === 'plan' ? (query, shape) => plans.explain(query, shape) : undefined,
    onSlow,
  )
  const detector =
    nPlusOne === false ? undefined : new NPlusOneDetector(nPlusOne, { dialect, onNPlusOne, onWarn, couldJoin })
  const observer = new QueryObserver({ dialect, detector, slowQueries, monitor, onQuery })
  const strayQueries = new StrayQueries(onWarn)
  const timeoutMs = parseTimeout(timeout, dialect, hasSingleConnection)
  const abandonment =
    abandon === 'cancel' ? new Abandonment((query) => observer.statistics.statementOf(query)) : undefined
  dialectCount += 1
  const instrumentation: Instrumentation = {
    dialect,
    dialectNumber: dialectCount,
    observer,
    strayQueries,
    invalidation: invalidates === undefined ? undefined : new WriteInvalidation(invalidates, dialect, onWarn),
    timesAcquisition: onQuery !== undefined,
    timeoutMs,
    abandonment,
    // SQLite and PGlite run a query on the thread that would have to cancel it, so they cannot cancel.
    cancels: timeoutMs !== undefined || (abandonment !== undefined && dialect !== 'sqlite' && !hasSingleConnection),
    statementLimit: parseStatementCache(statementCache, dialect, hasSingleConnection),
    onUnreachableCache: typeof statementCache === 'number' ? () => onWarn(unreachableCache(dialect)) : undefined,
    withOwnConnection,
    onWarn,
  }
  const report = (): Omit<QueryReport, 'autoBatch'> => {
    const stats = pool?.stats()
    const sizing = stats === undefined ? undefined : poolAdvice(stats)
    return {
      queries: observer.statistics.snapshot(),
      slow: slowQueries.list(),
      nPlusOne: detector?.findings() ?? [],
      advice: advisor.list(),
      outsideTransaction: strayQueries.list(),
      ...(abandonment === undefined ? {} : { abandoned: abandonment.counts() }),
      ...(stats === undefined ? {} : { pool: stats }),
      ...(sizing === undefined ? {} : { poolAdvice: sizing }),
    }
  }
  return { instrumentation, report }
}

let dialectCount = 0

const adviceQueryId = { queryId: 'posthaste-advice' }

function unreachableCache(dialect: SqlDialect): Warning {
  const message =
    dialect === 'sqlite'
      ? "Kysely keeps its SQLite database to itself: wrap it in 'cachedStatements' for `statementCache` to work"
      : "`statementCache` does nothing here: on PostgreSQL it needs Kysely's own PostgresDialect, with `pg`"
  return { code: 'STATEMENT_CACHE_UNREACHABLE', message }
}

/**
 * Turns the statement cache off if the driver cannot name statements: other drivers of PostgreSQL take a name for part of
 * the SQL, or wait for ever.
 */
function withUsableCache(instrumentation: Instrumentation, driver: Driver): Instrumentation {
  const { dialect, statementLimit, onUnreachableCache } = instrumentation
  // postgres.js's driver inherits from Kysely's driver for `pg`, so `instanceof` does not work. A second copy of Kysely
  // has another class, which only its name identifies.
  const isForPg = driver.acquireConnection === PostgresDriver.prototype.acquireConnection
  const canName = isForPg || driver.constructor.name === 'PostgresDriver'
  if (dialect !== 'postgres' || statementLimit === 0 || canName) return instrumentation
  onUnreachableCache?.()
  return { ...instrumentation, statementLimit: 0 }
}

function parseTimeout(
  timeout: InstrumentOptions['timeout'],
  dialect: SqlDialect,
  hasSingleConnection: boolean,
): number | undefined {
  if (timeout === undefined) return undefined
  if (dialect === 'sqlite' || hasSingleConnection) {
    const name = dialect === 'sqlite' ? 'SQLite' : 'PGlite'
    throw new TypeError(
      `\`timeout\` needs a database that can cancel a query: leave it out for ${name}, which runs queries on the thread of your code`,
    )
  }
  return parseDuration(timeout, 'timeout')
}

function parseStatementCache(
  statementCache: InstrumentOptions['statementCache'],
  dialect: SqlDialect,
  hasSingleConnection: boolean,
): number {
  if (statementCache === undefined) return dialect === 'sqlite' ? 100 : 0
  if (statementCache === false) return 0
  if (dialect === 'mysql' || dialect === 'mssql') {
    throw new TypeError('`statementCache` works on SQLite and PostgreSQL')
  }
  if (dialect === 'postgres' && hasSingleConnection) {
    throw new TypeError('`statementCache` works with `pg`: leave it out for PGlite, which cannot name statements')
  }
  return expectWholeNumber(statementCache, 'statementCache', { min: 1 })
}
