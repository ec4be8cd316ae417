import { expectOneOf, expectOptions, expectWholeNumber, type OptionKinds } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import type { PoolTuning } from './pool-tuning.ts'

/** Settings of a pool, named as in SQLAlchemy. `settingsFromEnv().pool` reads them from the environment. */
export interface PoolSettings {
  /** Connections that stay open. @defaultValue 10 */
  readonly poolSize?: number | undefined
  /** Further connections under load, closed after ten idle seconds. @defaultValue 20 */
  readonly maxOverflow?: number | undefined
  /** How long to wait for a connection. @defaultValue `'30s'` */
  readonly poolTimeout?: Duration | undefined
  /** The age at which a connection is replaced. Has no effect on `tarn`. @defaultValue `'1h'` */
  readonly poolRecycle?: Duration | undefined
  /** Whether an idle connection is pinged before it is used. @defaultValue true */
  readonly poolPrePing?: boolean | undefined
}

const poolSettings: OptionKinds<PoolSettings> = {
  poolSize: 'own',
  maxOverflow: 'own',
  poolTimeout: 'own',
  poolRecycle: 'own',
  poolPrePing: 'boolean',
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
/** The longest delay of Node's timers, which the drivers use. With a longer delay, the wait would end at once. */
const longestDelayMs = 2 ** 31 - 1

/**
 * Returns the options of a driver's own pool, and the tuning that adds what the driver lacks.
 *
 * With `'tarn'`, Kysely's SQL Server dialect makes the pool: pass `options` as `tarn.options`, and
 * `tuning.prePing !== false` as `validateConnections`. It cannot limit the age of a connection: there is no `tuning.recycle`.
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
  expectOptions(settings, poolSettings)
  const { poolSize = 10, maxOverflow = 20, poolTimeout = '30s', poolRecycle = '1h', poolPrePing = true } = settings
  expectWholeNumber(poolSize, 'poolSize', { min: 1 })
  const max = poolSize + expectWholeNumber(maxOverflow, 'maxOverflow')
  const timeoutMs = Math.min(parseDuration(poolTimeout, 'poolTimeout'), longestDelayMs)
  parseDuration(poolRecycle, 'poolRecycle')
  const options: PoolOptionsByDriver = {
    pg: {
      max,
      min: poolSize,
      idleTimeoutMillis: overflowIdleMs,
      // The tuned pool times out first, because its error names the holders of the connections.
      connectionTimeoutMillis: Math.min(timeoutMs + 1_000, longestDelayMs),
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
