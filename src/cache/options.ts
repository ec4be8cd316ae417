import { describeValue, expectNumber, expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import type { Clock } from '../shared/clock.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import { type CompressionSettings, resolveCodec } from './compression.ts'
import type { KeyvLike } from './keyv-client.ts'
import { type Profile, type ProfileOptions, resolveProfiles } from './profile.ts'
import type { RedisClientLike, RedisOptions } from './redis-client.ts'
import type { TagSpec } from './tags.ts'

/** What {@link createCache} takes. Without `redis` and `store` the cache lives in this process's memory alone. */
export interface CacheOptions<Name extends string = string, Tag extends string = string> {
  /** @defaultValue `'cache'` */
  readonly name?: string | undefined
  /**
   * Begins every key in the store; processes with the same namespace share their entries. Up to 64 letters, digits and
   * `:`, `_`, `.`, `-`.
   *
   * @defaultValue the name
   */
  readonly namespace?: string | undefined
  /** Kinds of entries by name. `default` is there in any case, with 5 minutes. */
  readonly profiles?: Readonly<Record<Name, Duration | ProfileOptions>> | undefined
  /** The tags' type: `tags<'users' | `user:${number}`>()`. */
  readonly tags?: TagSpec<Tag> | undefined
  /** Lifetimes that override those of the profiles of the same name, case and underscores aside; from the environment. */
  readonly ttls?: Readonly<Record<string, Duration>> | undefined
  /** Bounds of the memory tier; `false`: no memory tier. */
  readonly memory?:
    | false
    | {
        /** @defaultValue 10,000 */
        readonly maxEntries?: number | undefined
        /**
         * An estimate of what keys and values take in the heap.
         *
         * @defaultValue 64 MiB
         */
        readonly maxBytes?: number | undefined
      }
    | undefined
  /**
   * A URL, options of node-redis (for a cluster or sentinels too), or a client of node-redis (5 or later; a cluster's too, a
   * sentinel's not), which is never closed. Replicas are never read, whatever the options say.
   */
  readonly redis?: string | RedisOptions | RedisClientLike | undefined
  /** A Keyv instance or adapter, major 5 or 6. One on Redis is used through its client, as with `redis`. */
  readonly store?: KeyvLike | undefined
  readonly timeouts?:
    | {
        /**
         * How long the store may take to answer, time in which the event loop is blocked not counted.
         *
         * @defaultValue `'250ms'`
         */
        readonly store?: Duration | undefined
        /**
         * How long a caller waits for a load before it is given the stale value, where there is one.
         *
         * @defaultValue `'0s'`
         */
        readonly loadSoft?: Duration | undefined
        /** @defaultValue `'30s'` */
        readonly loadHard?: Duration | undefined
      }
    | undefined
  readonly breaker?:
    | {
        /**
         * Timeouts in a row after which the store counts as down. A lost connection counts at once.
         *
         * @defaultValue 3
         */
        readonly failures?: number | undefined
        /**
         * How long the store is left alone before it is tried again, in the background.
         *
         * @defaultValue `'1s'`
         */
        readonly coolDown?: Duration | undefined
      }
    | undefined
  readonly coherence?:
    | {
        /**
         * The age up to which this process's memory may lag behind another's invalidation when no message of it arrives.
         *
         * @defaultValue `'2s'`
         */
        readonly within?: Duration | undefined
      }
    | undefined
  /** Of values in the store. */
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
         * The share that must be saved for the compressed form to be kept.
         *
         * @defaultValue `0.1`
         */
        readonly minGain?: number | undefined
      }
    | undefined
  /**
   * Freeze the plain objects and arrays of stored values, so that a caller who changes a shared value finds out.
   *
   * @defaultValue true unless `NODE_ENV` is `production`
   */
  readonly freeze?: boolean | undefined
  readonly clock?: Clock | undefined
  readonly onWarn?: OnWarn | undefined
}

/** The options as the cache uses them. */
export interface CacheSettings {
  readonly name: string
  readonly namespace: string
  readonly profiles: ReadonlyMap<string, Profile>
  readonly memory: false | { readonly maxEntries: number; readonly maxBytes: number }
  readonly storeTimeoutMs: number
  readonly loadSoftMs: number
  readonly loadHardMs: number
  readonly breaker: { readonly failures: number; readonly coolDownMs: number }
  readonly withinMs: number
  readonly compression: false | CompressionSettings
  readonly freeze: boolean
  readonly warn: OnWarn
}

/**
 * The options with defaults filled in.
 *
 * @throws TypeError or RangeError that names the first option which is wrong
 */
export function resolveOptions(options: CacheOptions<string, string>): CacheSettings {
  const { name = 'cache', timeouts = {}, breaker = {}, coherence = {}, memory = {}, compression = {} } = options
  const { freeze = process.env.NODE_ENV !== 'production' } = options
  const { maxEntries = 10_000, maxBytes = 64 * 1024 * 1024 } = memory || {}
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
    freeze: expectOneOf(freeze, 'freeze', [true, false]),
    warn,
  }
}

function expectText(value: unknown, option: string): string {
  if (typeof value === 'string' && value !== '') return value
  throw new TypeError(`Expected \`${option}\` to be a text, got ${describeValue(value)}`)
}

/** Kept to harmless characters: stores may read others as patterns or separators. */
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
