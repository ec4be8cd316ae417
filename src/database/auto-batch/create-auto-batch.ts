import type { CompiledQuery, Driver, QueryCompiler } from 'kysely'
import { describeValue, expectOptions, expectWholeNumber } from '../../shared/arguments.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { AbandonedConnection } from '../cancel/abandoned-connection.ts'
import { instrumentConnection } from '../driver/instrumented-connection.ts'
import type { InstrumentedDriver } from '../driver/instrumented-driver.ts'
import type { Instrumentation } from '../instrumentation.ts'
import type { AutoBatchReport, InstrumentOptions } from '../types.ts'
import { AutoBatch, type BatchDialect } from './auto-batch.ts'
import { BatchingDriver } from './batching-driver.ts'
import type { JoinPlan } from './join-plan.ts'
import { type PostgresDriverKind, planLateralJoin } from './lateral-join.ts'
import type { ConnectionSource } from './lookup.ts'
import { planNumberedUnion } from './numbered-union.ts'

/** What `instrument` uses of the joining of lookups. */
interface AutoBatchHook {
  recordBuilt(query: CompiledQuery): void
  wrapDriver(
    driver: InstrumentedDriver,
    innerName: string,
    instrumentation: Instrumentation,
    hasSingleConnection: boolean,
  ): Driver
  report(): AutoBatchReport
  /** Set while `autoBatch` is off: whether it could join runs of the query. */
  readonly couldJoin?: (query: CompiledQuery) => boolean
}

/**
 * @param compile - compiles queries that nobody observes
 * @throws TypeError or RangeError for bad options, and on SQL Server
 */
export function createAutoBatch(
  option: InstrumentOptions['autoBatch'],
  sqlDialect: SqlDialect,
  compile: QueryCompiler['compileQuery'],
): AutoBatchHook {
  const maxBatch = parseMaxBatch(option)
  if (sqlDialect === 'mssql' && maxBatch === undefined) return disabled
  if (sqlDialect === 'mssql') throw new TypeError('`autoBatch` works on PostgreSQL, MySQL, MariaDB and SQLite')
  if (maxBatch === undefined) {
    const couldJoin = (query: CompiledQuery) =>
      query.query.kind === 'SelectQueryNode' && typeof planFor(query, sqlDialect, 'other', compile) !== 'string'
    return { ...disabled, couldJoin }
  }
  let batch: AutoBatch | undefined
  return {
    recordBuilt: (query) => batch?.recordBuilt(query),
    wrapDriver(driver, innerName, instrumentation, hasSingleConnection) {
      const source: ConnectionSource = {
        acquire: (options) => driver.acquireConnection(options),
        release: (connection, options) => driver.releaseConnection(connection, options),
        executeUnrecorded: (connection) =>
          connection instanceof AbandonedConnection
            ? (query, options) => connection.executeQuery(query, options)
            : instrumentConnection(connection, instrumentation).executeUnrecorded,
        // On Kysely 0.28, the driver of SQLite queues callers for the single connection.
        isSerial: hasSingleConnection || sqlDialect === 'sqlite',
      }
      const driverKind = driverKinds[innerName] ?? 'other'
      batch = new AutoBatch({
        dialect: sqlDialect,
        maxBatch,
        source,
        planFor: (query) => planFor(query, sqlDialect, driverKind, compile),
        shapeText: (query) => instrumentation.observer.statistics.statementOf(query).shape.text,
      })
      return new BatchingDriver(driver, batch, source)
    },
    report: () => (batch ?? disabled).report(),
  }
}

/** By the names of the drivers' classes. */
const driverKinds: Readonly<Record<string, PostgresDriverKind>> = { PostgresDriver: 'pg', PGliteDriver: 'pglite' }

function planFor(
  query: CompiledQuery,
  dialect: BatchDialect,
  driverKind: PostgresDriverKind,
  compile: QueryCompiler['compileQuery'],
): JoinPlan | string {
  return dialect === 'postgres' ? planLateralJoin(query, driverKind) : planNumberedUnion(query, dialect, compile)
}

const defaultMaxBatch = 500

const disabled: AutoBatchHook = {
  recordBuilt() {},
  wrapDriver: (driver) => driver,
  report: () => ({ queries: 0, statements: 0, shapes: [] }),
}

/** @returns `undefined` when `autoBatch` is off */
function parseMaxBatch(option: InstrumentOptions['autoBatch'] = false): number | undefined {
  if (option === false) return undefined
  if (option === true) return defaultMaxBatch
  if (typeof option !== 'object' || option === null) {
    throw new TypeError(`Expected \`autoBatch\` to be a boolean or an object, got ${describeValue(option)}`)
  }
  expectOptions(option, { maxBatch: 'own' }, 'autoBatch')
  return expectWholeNumber(option.maxBatch ?? defaultMaxBatch, 'autoBatch.maxBatch', { min: 2 })
}
