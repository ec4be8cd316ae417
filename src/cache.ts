import { createCache as createPlainCache } from './cache/create-cache.ts'
import type { CacheOptions } from './cache/options.ts'
import { type HttpCache, withHttp } from './http/response-cache/with-http.ts'

export { type CacheableQuery, type CachedQueryOptions, cachedQuery } from './cache/cached-query.ts'
export type { MissReason, ProfileStats, StoreErrorKind } from './cache/counters.ts'
export type { CacheErrorEvent, CacheEvents, InvalidateEvent, StoreState } from './cache/events.ts'
export type { Key } from './cache/key.ts'
export type { KeyvLike } from './cache/keyv/keyv-client.ts'
export type { LoadMany } from './cache/load-many.ts'
export type { CacheOptions } from './cache/options.ts'
export type { ProfileOptions } from './cache/profile.ts'
export type { RedisClientLike, RedisOptions } from './cache/redis/redis-client.ts'
export { LoadTimeoutError } from './cache/shared-load.ts'
export { type TableTag, type TagSpec, tags } from './cache/tags.ts'
export type {
  CacheStats,
  EntryOptions,
  Explanation,
  GetOrSetManyOptions,
  GetOrSetOptions,
  InvalidateOptions,
  Invalidation,
  Load,
  LoadContext,
  LoadManyContext,
  TagStamps,
  WrapOptions,
  Wrapped,
} from './cache/types.ts'
export type { StandardSchema, Validate } from './cache/value/validation.ts'
export type { HttpCacheOptions } from './http/response-cache/http-cache-options.ts'
export type { HttpCache as Cache } from './http/response-cache/with-http.ts'
export { ClosedError, PeerMissingError, PosthasteError } from './shared/errors.ts'
export type { Clock } from './shared/time/clock.ts'
export type { Duration } from './shared/time/duration.ts'
export type { OnWarn, Warning } from './shared/warnings.ts'

/**
 * Makes a cache that never serves an invalidated value: in this process's memory, and with `redis` or `store` shared by many
 * processes.
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
  // Combined here, because `cache/` and `http/` do not import each other.
  return withHttp(createPlainCache(options))
}
