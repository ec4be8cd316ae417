import { describeValue, expectNumber, expectOneOf, expectOptions, type OptionKinds } from '../shared/arguments.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import type { OnWarn } from '../shared/warnings.ts'
import { ProfileCounters } from './counters.ts'
import type { Validate } from './value/validation.ts'

/** How long entries of one kind live. A profile given as a {@link Duration} has that `ttl` and the defaults. */
export interface ProfileOptions {
  /** How long an entry is fresh. `'0s'`: nothing is stored, and concurrent callers still share one load. */
  readonly ttl: Duration
  /**
   * How long an entry is served beyond its `ttl`: while one load renews it in the background, and when that load fails. An
   * invalidated entry is never served, however young it is.
   *
   * @defaultValue `'0s'`
   */
  readonly stale?: Duration | undefined
  /**
   * `'auto'` renews an entry shortly before it expires, earlier if its load took longer, so that an entry in steady use never
   * expires (XFetch: Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
   *
   * @defaultValue `false`
   */
  readonly refreshAhead?: 'auto' | false | undefined
  /**
   * Shortens each `ttl` by a random share between 0 and this, so that entries which were stored together do not expire
   * together. From 0 to 0.5.
   *
   * @defaultValue `0.1`
   */
  readonly jitter?: number | undefined
  /** How long a copy in memory is used before the store is read again. By default as long as the entry is fresh. */
  readonly memoryTtl?: Duration | undefined
  /** The `ttl` of `null` and `undefined`. With `'0s'` they are not stored. By default the same as `ttl`. */
  readonly negativeTtl?: Duration | undefined
  /** `false`: never compress entries of this profile. */
  readonly compress?: boolean | undefined
  /** Change it when the shape of the values changes: entries of another version are misses. */
  readonly version?: string | number | undefined
  /** A function or a Standard Schema that checks each value from the store. A value that fails is a miss, never an error. */
  readonly validate?: Validate | undefined
}

/** A profile with its defaults filled in, durations in milliseconds, and its counters. */
export interface Profile {
  readonly name: string
  readonly ttlMs: number
  readonly staleMs: number
  readonly refreshAhead: boolean
  readonly jitter: number
  readonly memoryTtlMs: number
  readonly negativeTtlMs: number | undefined
  readonly compress: boolean
  readonly version: string
  readonly validate: Validate | undefined
  readonly counters: ProfileCounters
}

const defaultTtl = '5m'

/** The profiles by name, `default` included. Lifetimes in `ttls` replace those of the profiles. */
export function resolveProfiles(
  profiles: Readonly<Record<string, Duration | ProfileOptions>> = {},
  ttls: Readonly<Record<string, Duration>> = {},
  warn: OnWarn = () => {},
): ReadonlyMap<string, Profile> {
  const overrides = new Map(Object.entries(ttls).map(([name, ttl]) => [fold(name), parseDuration(ttl, `ttls.${name}`)]))
  const resolved = new Map<string, Profile>()
  for (const [name, input] of Object.entries({ default: defaultTtl, ...profiles })) {
    resolved.set(name, resolveProfile(name, input as Duration | ProfileOptions, overrides.get(fold(name))))
    overrides.delete(fold(name))
  }
  if (overrides.size > 0) {
    const names = Object.keys(ttls).filter((name) => overrides.has(fold(name)))
    const message = `\`ttls\` has no matching profile for: ${names.join(', ')}. Profiles are: ${[...resolved.keys()].join(', ')}`
    warn({ code: 'CACHE_TTL_UNUSED', message })
  }
  return resolved
}

/** Maps `USER_LISTS`, as in `CACHE_TTL_USER_LISTS`, and `userLists` to the same name. */
function fold(name: string): string {
  return name.toLowerCase().replace(/[_-]/g, '')
}

const profileOptions: OptionKinds<ProfileOptions> = {
  ttl: 'own',
  stale: 'own',
  refreshAhead: 'own',
  jitter: 'own',
  memoryTtl: 'own',
  negativeTtl: 'own',
  compress: 'boolean',
  version: 'own',
  validate: 'own',
}

function resolveProfile(name: string, input: Duration | ProfileOptions, ttlMs: number | undefined): Profile {
  const at = `profiles.${name}`
  const options = typeof input === 'string' ? { ttl: input } : input
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(`Expected \`${at}\` to be a duration like '5m' or options, got ${describeValue(input)}`)
  }
  expectOptions(options, profileOptions, at)
  const { ttl, stale = '0s', refreshAhead = false, jitter = 0.1, memoryTtl, negativeTtl, compress = true } = options
  const ownTtlMs = parseDuration(ttl, `${at}.ttl`)
  return {
    name,
    ttlMs: ttlMs ?? ownTtlMs,
    staleMs: parseDuration(stale, `${at}.stale`),
    refreshAhead: expectOneOf(refreshAhead, `${at}.refreshAhead`, ['auto', false]) === 'auto',
    jitter: expectNumber(jitter, `${at}.jitter`, { min: 0, max: 0.5 }),
    memoryTtlMs: memoryTtl === undefined ? Number.POSITIVE_INFINITY : parseDuration(memoryTtl, `${at}.memoryTtl`),
    negativeTtlMs: negativeTtl === undefined ? undefined : parseDuration(negativeTtl, `${at}.negativeTtl`),
    compress,
    version: expectVersion(options.version, at),
    validate: expectValidate(options.validate, at),
    counters: new ProfileCounters(),
  }
}

function expectVersion(version: unknown, at: string): string {
  if (version === undefined) return ''
  if (typeof version === 'string' || typeof version === 'number') return String(version)
  throw new TypeError(`Expected \`${at}.version\` to be a string or a number, got ${describeValue(version)}`)
}

function expectValidate(validate: unknown, at: string): Validate | undefined {
  if (validate === undefined || typeof validate === 'function') return validate as Validate | undefined
  if (typeof validate === 'object' && validate !== null && '~standard' in validate) return validate as Validate
  throw new TypeError(
    `Expected \`${at}.validate\` to be a function or a Standard Schema, got ${describeValue(validate)}`,
  )
}
