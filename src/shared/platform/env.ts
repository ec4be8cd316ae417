import { describeValue, expectObject } from '../arguments.ts'
import { isRedisUrl, redisUrlForm } from '../redis-url.ts'
import { type Duration, durationToMs } from '../time/duration.ts'

/** The result of {@link settingsFromEnv}. A variable that is not set adds no key, so that the option's default applies. */
export interface Settings {
  /** For `createPaginator` and `listQuery`. */
  readonly pagination: { readonly perPage: { readonly default?: number; readonly max?: number } }
  /** For `createCache`. */
  readonly cache: { readonly ttls: Readonly<Record<string, Duration>>; readonly redis?: string }
  /** For `PerformanceMonitor`'s `alerts`. */
  readonly alerts: {
    readonly responseTime?: Duration
    readonly cpu?: number
    readonly memory?: number
    readonly cacheErrors?: number
  }
  /** For `poolOptions`. */
  readonly pool: {
    readonly poolSize?: number
    readonly maxOverflow?: number
    readonly poolTimeout?: Duration
    readonly poolRecycle?: Duration
    readonly poolPrePing?: boolean
  }
}

type Env = Readonly<Record<string, string | undefined>>
type Defined<Values> = { [Name in keyof Values]?: Exclude<Values[Name], undefined> }

/**
 * Reads settings from environment variables: `DEFAULT_PAGE_SIZE`, `MAX_PAGE_SIZE`, `CACHE_TTL_<NAME>` (seconds),
 * `USE_REDIS_CACHE`, `REDIS_URL`, `ALERT_RESPONSE_TIME_THRESHOLD` (milliseconds), `ALERT_CPU_THRESHOLD`,
 * `ALERT_MEMORY_THRESHOLD`, `ALERT_CACHE_ERROR_THRESHOLD` (percent), `DB_POOL_SIZE`, `DB_MAX_OVERFLOW`, `DB_POOL_TIMEOUT`,
 * `DB_POOL_RECYCLE` (seconds), `DB_POOL_PRE_PING`. A time is a number in the given unit, or a {@link Duration}. An empty
 * variable counts as not set.
 *
 * @throws TypeError that names the first variable with an invalid value
 *
 * @example
 * ```ts
 * const settings = settingsFromEnv()
 * const cache = createCache({ profiles: { users: '5m' }, ...settings.cache })
 * ```
 */
export function settingsFromEnv(env: Env = process.env): Settings {
  expectObject(env, 'env')
  const perPage = defined({
    default: wholeNumber(env, 'DEFAULT_PAGE_SIZE', 1),
    max: wholeNumber(env, 'MAX_PAGE_SIZE', 1),
  })
  const largest = perPage.max ?? 100
  if (perPage.default !== undefined && perPage.default > largest) {
    throw new TypeError(
      `Expected DEFAULT_PAGE_SIZE to be at most the largest page size, ${largest}, got ${perPage.default}`,
    )
  }
  return {
    pagination: { perPage },
    cache: { ttls: cacheTtls(env), ...defined({ redis: redisUrl(env) }) },
    alerts: defined({
      responseTime: duration(env, 'ALERT_RESPONSE_TIME_THRESHOLD', 'ms'),
      cpu: percent(env, 'ALERT_CPU_THRESHOLD'),
      memory: percent(env, 'ALERT_MEMORY_THRESHOLD'),
      cacheErrors: percent(env, 'ALERT_CACHE_ERROR_THRESHOLD'),
    }),
    pool: defined({
      poolSize: wholeNumber(env, 'DB_POOL_SIZE', 1),
      maxOverflow: wholeNumber(env, 'DB_MAX_OVERFLOW', 0),
      poolTimeout: duration(env, 'DB_POOL_TIMEOUT', 's'),
      poolRecycle: duration(env, 'DB_POOL_RECYCLE', 's'),
      poolPrePing: boolean(env, 'DB_POOL_PRE_PING'),
    }),
  }
}

function cacheTtls(env: Env): Record<string, Duration> {
  const ttls: Record<string, Duration> = {}
  for (const name of Object.keys(env)) {
    const profile = /^CACHE_TTL_(.+)$/.exec(name)?.[1]?.toLowerCase()
    const ttl = profile === undefined ? undefined : duration(env, name, 's')
    if (profile !== undefined && ttl !== undefined) ttls[profile] = ttl
  }
  return ttls
}

function redisUrl(env: Env): string | undefined {
  const url = read(env, 'REDIS_URL')
  if (url !== undefined && !isRedisUrl(url)) {
    throw new TypeError(`Expected REDIS_URL to be ${redisUrlForm}`)
  }
  const use = boolean(env, 'USE_REDIS_CACHE')
  if (use === false) return undefined
  return use ? (url ?? 'redis://localhost:6379') : url
}

function wholeNumber(env: Env, name: string, min: number): number | undefined {
  return parsed(env, name, `a whole number from ${min} up`, (text) => {
    return /^\d{1,15}$/.test(text) && Number(text) >= min ? Number(text) : undefined
  })
}

function percent(env: Env, name: string): number | undefined {
  return parsed(env, name, 'a percentage above 0 and up to 100', (text) => {
    const value = /^\d{1,3}(\.\d+)?$/.test(text) ? Number(text) : 0
    return value > 0 && value <= 100 ? value : undefined
  })
}

function duration(env: Env, name: string, unit: 'ms' | 's'): Duration | undefined {
  const units = unit === 's' ? 'seconds' : 'milliseconds'
  return parsed(env, name, `${units} or a duration like '5m'`, (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? `${text}${unit}` : text
    return durationToMs(value) === undefined ? undefined : (value as Duration)
  })
}

function boolean(env: Env, name: string): boolean | undefined {
  return parsed(env, name, 'true or false', (text) => {
    if (/^(true|1|yes|on)$/i.test(text)) return true
    return /^(false|0|no|off)$/i.test(text) ? false : undefined
  })
}

/** The value of a variable, if it is set. `parse` returns `undefined` for a text that is not as expected. */
function parsed<Value>(
  env: Env,
  name: string,
  expected: string,
  parse: (text: string) => Value | undefined,
): Value | undefined {
  const text = read(env, name)
  return text === undefined ? undefined : (parse(text) ?? refuse(name, expected, text))
}

function read(env: Env, name: string): string | undefined {
  const value: unknown = env[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw new TypeError(`Expected ${name} to be a string, got ${describeValue(value)}`)
  return value.trim() || undefined
}

/**
 * A word or a number, also in quotes. URLs and lists of settings, which may hold a password, have other characters or are
 * longer.
 */
const harmless = /^(["']?)[\w.,+ -]{0,20}%?\1$/

function refuse(name: string, expected: string, text: string): never {
  const got = harmless.test(text)
    ? describeValue(text)
    : `a text of ${text.length} characters, which is not shown because it may hold a password`
  throw new TypeError(`Expected ${name} to be ${expected}, got ${got}`)
}

function defined<Values extends object>(values: Values): Defined<Values> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Defined<Values>
}
