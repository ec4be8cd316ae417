import type { Dialect, KyselyConfig } from 'kysely'
import { expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { parseDuration } from '../shared/duration.ts'
import { createWarner } from '../shared/warnings.ts'
import { dialectOf, type SqlDialect } from './dialect.ts'
import { IndexAdvisor } from './index-advice.ts'
import { InstrumentedDriver } from './instrumented-driver.ts'
import type { Borrow, Instruments } from './instruments.ts'
import { NPlusOneDetector } from './n-plus-one.ts'
import { OutsideTransactions } from './outside-transactions.ts'
import { QueryObserver } from './query-observer.ts'
import { QueryPlans } from './query-plans.ts'
import { registerReport } from './query-report.ts'
import { lookForScopes } from './query-scope.ts'
import { takeOverQueue } from './single-connection.ts'
import { SlowQueries } from './slow-queries.ts'
import type { InstrumentOptions, QueryReport } from './types.ts'
import { WriteInvalidation } from './write-invalidation.ts'

/**
 * Instruments a `Kysely`: counts and times its queries by shape, keeps the slow ones with their plan, finds what one
 * request repeats, tells a cache what was written, and limits how long a query may take. The configuration comes back with
 * its dialect wrapped; `queryReport(db)` shows what was seen.
 *
 * @throws TypeError or RangeError for a bad option, and for `timeout` on SQLite, whose queries cannot be cancelled
 *
 * @example
 * ```ts
 * const db = new Kysely<Database>(instrument({ dialect: new PostgresDialect({ pool }) }, { slow: '100ms' }))
 * ```
 */
export function instrument<Config extends KyselyConfig>(config: Config, options: InstrumentOptions = {}): Config {
  return { ...config, dialect: instrumentDialect(config.dialect, options) }
}

function instrumentDialect(dialect: Dialect, options: InstrumentOptions): Dialect {
  const kind = dialectOf(dialect.createQueryCompiler())
  const { instruments, report } = createInstruments(kind, options)
  const { observer } = instruments
  return {
    createAdapter() {
      const adapter = dialect.createAdapter()
      registerReport(adapter, report)
      takeOverQueue(adapter)
      return adapter
    },
    createDriver: () =>
      new InstrumentedDriver(dialect.createDriver(), instruments, takeOverQueue(dialect.createAdapter())),
    createIntrospector: (db) => dialect.createIntrospector(db),
    createQueryCompiler() {
      // In place, as others recognise compilers by their class. It runs within `execute()`, with the caller on the stack,
      // and costs less than a plugin, which every query has to await.
      const compiler = dialect.createQueryCompiler()
      const compile = compiler.compileQuery.bind(compiler)
      compiler.compileQuery = (node, queryId) => {
        const query = compile(node, queryId)
        observer.built(query)
        return query
      }
      return compiler
    },
  }
}

function createInstruments(
  dialect: SqlDialect,
  options: InstrumentOptions,
): { readonly instruments: Instruments; readonly report: () => QueryReport } {
  lookForScopes()
  const { monitor, invalidates, pool, slow = '200ms', explain = defaultExplain(), nPlusOne = {} } = options
  const { statementCache, timeout, indexAdvice = true, onQuery, onSlow, onNPlusOne } = options
  const onWarn = createWarner(options.onWarn)
  expectOneOf(explain, 'explain', [false, 'plan'])
  const borrow: Borrow = (use) => instruments.borrow(use)
  const advisor = new IndexAdvisor(dialect, borrow)
  const plans = new QueryPlans(dialect, borrow, async (query, shape, plan) => {
    if (indexAdvice) await advisor.consider(query, shape, plan)
  })
  const slowQueries = new SlowQueries(
    parseDuration(slow, 'slow'),
    explain === 'plan' ? (query, shape) => plans.explain(query, shape) : undefined,
    onSlow,
  )
  const detector = nPlusOne === false ? undefined : new NPlusOneDetector(nPlusOne, onNPlusOne, onWarn)
  const observer = new QueryObserver({ detector, slow: slowQueries, monitor, onQuery })
  const instruments: Instruments = {
    dialect,
    observer,
    outside: new OutsideTransactions(onWarn),
    invalidation: invalidates === undefined ? undefined : new WriteInvalidation(invalidates, dialect, onWarn),
    timesAcquisition: onQuery !== undefined,
    timeoutMs: timeoutOf(timeout, dialect),
    statements: statementsOf(statementCache, dialect),
    onUnreachableCache: typeof statementCache === 'number' ? () => onWarn(unreachableCache) : undefined,
    borrow: () => Promise.reject(new Error('The driver has not been created yet')),
  }
  const report = (): QueryReport => ({
    queries: observer.statistics.snapshot(),
    slow: slowQueries.list(),
    nPlusOne: detector?.findings() ?? [],
    advice: advisor.list(),
    outsideTransaction: instruments.outside.list(),
    ...(pool === undefined ? {} : { pool: pool.stats() }),
  })
  monitor?.addSource?.('database', report)
  return { instruments, report }
}

const unreachableCache = {
  code: 'STATEMENT_CACHE_UNREACHABLE',
  message: "Kysely keeps its SQLite database to itself: wrap it in 'cachedStatements' for `statementCache` to work",
}

function defaultExplain(): false | 'plan' {
  return process.env.NODE_ENV === 'production' ? false : 'plan'
}

function timeoutOf(timeout: InstrumentOptions['timeout'], dialect: SqlDialect): number | undefined {
  if (timeout === undefined) return undefined
  if (dialect === 'sqlite') {
    throw new TypeError(
      '`timeout` needs a database that can cancel a query; SQLite runs it on the thread that would have to',
    )
  }
  return parseDuration(timeout, 'timeout')
}

function statementsOf(statementCache: InstrumentOptions['statementCache'], dialect: SqlDialect): number {
  if (statementCache === undefined) return dialect === 'sqlite' ? 100 : 0
  if (statementCache === false) return 0
  if (dialect === 'mysql' || dialect === 'mssql') {
    throw new TypeError('`statementCache` works on SQLite and PostgreSQL')
  }
  return expectWholeNumber(statementCache, 'statementCache', { min: 1 })
}
