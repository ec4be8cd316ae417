import {
  describeValue,
  expectNumber,
  expectOneOf,
  expectOptions,
  expectWholeNumber,
  type OptionKinds,
} from '../shared/arguments.ts'
import { isProduction } from '../shared/platform/runtime.ts'
import type { Clock } from '../shared/time/clock.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import type { KeyvLike } from './keyv/keyv-client.ts'
import { type Profile, type ProfileOptions, resolveProfiles } from './profile.ts'
import type { RedisClientLike, RedisOptions } from './redis/redis-client.ts'
import type { TagSpec } from './tags.ts'
import { type CompressionSettings, resolveCodec } from './value/compression.ts'

/** For {@link createCache}. Without `redis` and `store` the cache lives in this process's memory alone. */
export interface CacheOptions<Name extends string = string, Tag extends string = string> {
  /**
   * The name of the cache in warnings. In Redis it also names the application that uses the namespace.
   * @defaultValue `'cache'`
   */
  readonly name?: string | undefined
  /**
   * The prefix of every key in the store. Processes with the same namespace share their entries. Up to 64 letters, digits
   * and `:`, `_`, `.`, `-`.
   *
   * @defaultValue the name
   */
  readonly namespace?: string | undefined
  /** Kinds of entries by name. `default` always exists; its `ttl` is 5 minutes unless declared otherwise. */
  readonly profiles?: Readonly<Record<Name, Duration | ProfileOptions>> | undefined
  /** The tags' type: `tags<'users' | `user:${number}`>()`. */
  readonly tags?: TagSpec<Tag> | undefined
  /** Lifetimes that override those of profiles, usually from the environment. Case and underscores in names are ignored. */
  readonly ttls?: Readonly<Record<string, Duration>> | undefined
  /** The limits of the memory tier, or `false` for no memory tier. */
  readonly memory?:
    | false
    | {
        /** @defaultValue 10,000 */
        readonly maxEntries?: number | undefined
        /**
         * The heap that keys and values may take, by estimate. A larger value is not stored, and not read from the store.
         *
         * @defaultValue 64 MiB
         */
        readonly maxBytes?: number | undefined
      }
    | undefined
  /**
   * A URL; options of node-redis, also for a cluster or sentinels; or a client of node-redis 5 or later, also for a cluster
   * but not for sentinels. The cache never closes a client that it is given. Replicas are never read, whatever the options
   * say.
   */
  readonly redis?: string | RedisOptions | RedisClientLike | undefined
  /** A Keyv instance or adapter, major 5 or 6. One on Redis is used through its client, as with `redis`. */
  readonly store?: KeyvLike | undefined
  readonly timeouts?:
    | {
        /**
         * How long the store may take to answer. Time in which the event loop is blocked does not count.
         *
         * @defaultValue `'250ms'`
         */
        readonly store?: Duration | undefined
        /**
         * How long a caller waits for a load before it gets the stale value, if there is one.
         *
         * @defaultValue `'0s'`
         */
        readonly loadSoft?: Duration | undefined
        /**
         * How long a load may take. Then it is aborted, and its callers get a `LoadTimeoutError`.
         *
         * @defaultValue `'30s'`
         */
        readonly loadHard?: Duration | undefined
      }
    | undefined
  readonly breaker?:
    | {
        /**
         * Timeouts in a row after which the store counts as down. After a lost connection it counts as down at once.
         *
         * @defaultValue 3
         */
        readonly failures?: number | undefined
        /**
         * How long the cache waits before it tries a store that is down again. It tries in the background.
         *
         * @defaultValue `'1s'`
         */
        readonly coolDown?: Duration | undefined
      }
    | undefined
  readonly coherence?:
    | {
        /**
         * How long this process's memory may serve an entry that another process has invalidated, when no message arrives.
         *
         * @defaultValue `'2s'`
         */
        readonly within?: Duration | undefined
      }
    | undefined
  /** How values in the store are compressed, or `false`. Values in memory are not compressed. */
  readonly compression?:
    | false
    | {
        /** @defaultValue 2048 */
        readonly minBytes?: number | undefined
        /**
         * `'auto'` is zstd where Node has it built in, else gzip.
         *
         * @defaultValue `'auto'`
         */
        readonly codec?: 'auto' | 'zstd' | 'gzip' | 'brotli' | undefined
        /**
         * The share that must be saved for the compressed bytes to be stored.
         *
         * @defaultValue `0.1`
         */
        readonly minGain?: number | undefined
      }
    | undefined
  /**
   * Freezes the plain objects and arrays in stored values, so that changing a shared value throws an error.
   *
   * @defaultValue true unless `NODE_ENV` is `production`
   */
  readonly freeze?: boolean | undefined
  /** Returns milliseconds, for tests. @defaultValue the process's monotonic clock */
  readonly clock?: Clock | undefined
  /** Receives each warning, once per code. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}

/** The options, checked, with defaults filled in and durations in milliseconds. */
export interface CacheSettings {
  readonly name: string
  readonly namespace: string
  readonly profiles: ReadonlyMap<string, Profile>
  readonly memory: false | { readonly maxEntries: number; readonly maxBytes: number }
  /** The heap that one value may take. */
  readonly maxValueBytes: number
  readonly storeTimeoutMs: number
  readonly loadSoftMs: number
  readonly loadHardMs: number
  readonly breaker: { readonly failures: number; readonly coolDownMs: number }
  readonly withinMs: number
  readonly compression: false | CompressionSettings
  readonly freeze: boolean
  readonly warn: OnWarn
}

const cacheOptions: OptionKinds<CacheOptions> = {
  name: 'own',
  namespace: 'own',
  profiles: 'object',
  tags: 'object',
  ttls: 'object',
  memory: 'own',
  redis: 'own',
  store: 'own',
  timeouts: { store: 'own', loadSoft: 'own', loadHard: 'own' },
  breaker: { failures: 'own', coolDown: 'own' },
  coherence: { within: 'own' },
  compression: 'own',
  freeze: 'boolean',
  clock: 'function',
  onWarn: 'function',
}

const defaultMaxBytes = 64 * 1024 * 1024

/** @throws TypeError or RangeError that names the first wrong option */
export function resolveOptions(options: CacheOptions<string, string>): CacheSettings {
  expectOptions(options, cacheOptions)
  const { name = 'cache', timeouts = {}, breaker = {}, coherence = {}, memory = {}, compression = {} } = options
  const { freeze = !isProduction() } = options
  if (memory !== false) expectOptions(memory, { maxEntries: 'own', maxBytes: 'own' }, 'memory')
  if (compression !== false)
    expectOptions(compression, { minBytes: 'own', codec: 'own', minGain: 'own' }, 'compression')
  const { maxEntries = 10_000, maxBytes = defaultMaxBytes } = memory || {}
  const { minBytes = 2048, codec = 'auto', minGain = 0.1 } = compression || {}
  const warn = createWarner(options.onWarn)
  if (options.redis !== undefined && options.store !== undefined) {
    throw new TypeError('Expected only one of `redis` and `store`, got both')
  }
  return {
    name: expectText(name, 'name'),
    namespace: expectNamespace(options.namespace ?? name),
    profiles: resolveProfiles(options.profiles, options.ttls, warn),
    memory: memory !== false && {
      maxEntries: expectWholeNumber(maxEntries, 'memory.maxEntries', { min: 1 }),
      maxBytes: expectWholeNumber(maxBytes, 'memory.maxBytes', { min: 1 }),
    },
    maxValueBytes: maxBytes,
    storeTimeoutMs: parsePositive(timeouts.store ?? '250ms', 'timeouts.store'),
    loadSoftMs: parseDuration(timeouts.loadSoft ?? '0s', 'timeouts.loadSoft'),
    loadHardMs: parsePositive(timeouts.loadHard ?? '30s', 'timeouts.loadHard'),
    breaker: {
      failures: expectWholeNumber(breaker.failures ?? 3, 'breaker.failures', { min: 1 }),
      coolDownMs: parsePositive(breaker.coolDown ?? '1s', 'breaker.coolDown'),
    },
    withinMs: parseDuration(coherence.within ?? '2s', 'coherence.within'),
    compression: compression !== false && {
      minBytes: expectWholeNumber(minBytes, 'compression.minBytes', { min: 0 }),
      codec: resolveCodec(expectOneOf(codec, 'compression.codec', ['auto', 'zstd', 'gzip', 'brotli'])),
      minGain: expectNumber(minGain, 'compression.minGain', { min: 0, max: 1 }),
    },
    freeze,
    warn,
  }
}

function expectText(value: unknown, option: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`Expected \`${option}\` to be a text, got ${describeValue(value)}`)
}

/** Stores may read other characters as patterns or separators. */
function expectNamespace(value: unknown): string {
  if (typeof value === 'string' && /^[\w:.-]{1,64}$/.test(value)) return value
  throw new TypeError(
    `Expected \`namespace\` to be 1 to 64 letters, digits, ':', '_', '.' or '-', got ${describeValue(value)}`,
  )
}

function parsePositive(value: unknown, option: string): number {
  const ms = parseDuration(value, option)
  if (ms > 0) return ms
  throw new RangeError(`Expected \`${option}\` to be longer than nothing, got ${describeValue(value)}`)
}
