import { expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import type { PoolTuning } from './pool-tuning.ts'

/** The five settings of a pool, as SQLAlchemy names them; `settingsFromEnv().pool` gives them from the environment. */
export interface PoolSettings {
  /** Connections that stay open. @defaultValue 10 */
  readonly poolSize?: number | undefined
  /** Connections beyond them under load, closed again after ten idle seconds. @defaultValue 20 */
  readonly maxOverflow?: number | undefined
  /** How long to wait for a connection. @defaultValue `'30s'` */
  readonly poolTimeout?: Duration | undefined
  /** The age at which a connection is replaced; `tarn` has no place for one. @defaultValue `'1h'` */
  readonly poolRecycle?: Duration | undefined
  /** Whether a connection that was idle is tested before it is used. @defaultValue true */
  readonly poolPrePing?: boolean | undefined
}

/** Options of the pools of `pg`, `mysql2` and `tarn` (SQL Server). */
export interface PoolOptionsByDriver {
  readonly pg: {
    readonly max: number
    readonly min: number
    readonly idleTimeoutMillis: number
    readonly connectionTimeoutMillis: number
    readonly keepAlive: true
  }
  readonly mysql2: {
    readonly connectionLimit: number
    readonly maxIdle: number
    readonly idleTimeout: number
    readonly connectTimeout: number
    readonly waitForConnections: true
    readonly enableKeepAlive: true
  }
  readonly tarn: {
    readonly max: number
    readonly min: number
    readonly idleTimeoutMillis: number
    readonly acquireTimeoutMillis: number
    readonly createTimeoutMillis: number
  }
}

const overflowIdleMs = 10_000

/**
 * The options of a driver's own pool, and the tuning for what the driver cannot do itself.
 *
 * With `'tarn'`, Kysely's SQL Server dialect makes the pool: give it `options` as `tarn.options`, and
 * `tuning.prePing !== false` as `validateConnections`. It has no place for an age, so there is no `tuning.recycle`.
 *
 * @throws TypeError or RangeError for a bad setting
 *
 * @example
 * ```ts
 * const { options, tuning } = poolOptions('pg', settingsFromEnv().pool)
 * const pool = tunePgPool(new pg.Pool({ connectionString, ...options }), tuning)
 * ```
 */
export function poolOptions<Driver extends keyof PoolOptionsByDriver>(
  driver: Driver,
  settings: PoolSettings = {},
): { options: PoolOptionsByDriver[Driver]; tuning: PoolTuning } {
  expectOneOf(driver, 'driver', ['pg', 'mysql2', 'tarn'])
  const { poolSize = 10, maxOverflow = 20, poolTimeout = '30s', poolRecycle = '1h', poolPrePing = true } = settings
  expectWholeNumber(poolSize, 'poolSize', { min: 1 })
  const max = poolSize + expectWholeNumber(maxOverflow, 'maxOverflow')
  const timeoutMs = parseDuration(poolTimeout, 'poolTimeout')
  parseDuration(poolRecycle, 'poolRecycle')
  expectOneOf(poolPrePing, 'poolPrePing', [true, false])
  const options: PoolOptionsByDriver = {
    pg: {
      max,
      min: poolSize,
      idleTimeoutMillis: overflowIdleMs,
      // The tuned pool gives up first, and says who holds the connections.
      connectionTimeoutMillis: timeoutMs + 1_000,
      keepAlive: true,
    },
    mysql2: {
      connectionLimit: max,
      maxIdle: poolSize,
      idleTimeout: overflowIdleMs,
      connectTimeout: timeoutMs,
      waitForConnections: true,
      enableKeepAlive: true,
    },
    tarn: {
      max,
      min: poolSize,
      idleTimeoutMillis: overflowIdleMs,
      acquireTimeoutMillis: timeoutMs,
      createTimeoutMillis: timeoutMs,
    },
  }
  const tuning: PoolTuning = {
    prePing: poolPrePing ? 'idle' : false,
    acquireTimeout: poolTimeout,
    ...(driver === 'tarn' ? {} : { recycle: poolRecycle }),
  }
  return { options: options[driver], tuning }
}
