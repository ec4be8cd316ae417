import type { Cache } from '../cache/types.ts'
import { cacheFetchHandler, type FetchHandler } from './fetch-cache.ts'
import type { HttpCacheOptions } from './http-cache-options.ts'

/** A cache that caches responses as well. */
export interface HttpCache<Name extends string = string, Tag extends string = string> extends Cache<Name, Tag> {
  /**
   * The same fetch-style handler, its responses cached where that is safe: with entity tags, `304`, `Age`, `Cache-Status`
   * (RFC 9211) and bodies encoded once for each coding.
   *
   * @throws TypeError or RangeError for a wrong option
   *
   * @example
   * ```ts
   * const fetch = cache.http(async () => Response.json(await listUsers()), { ttl: '1m', tags: ['users'] })
   * ```
   */
  http(handler: FetchHandler, options?: HttpCacheOptions<Request, Name, Tag>): (request: Request) => Promise<Response>
}

/** Gives a cache its method `http`. The cache cannot bring it: features know nothing of HTTP, and HTTP only their types. */
export function withHttp<Name extends string, Tag extends string>(cache: Cache<Name, Tag>): HttpCache<Name, Tag> {
  return Object.assign(cache, {
    http: (handler: FetchHandler, options?: HttpCacheOptions<Request, Name, Tag>) =>
      cacheFetchHandler(cache, handler, options),
  })
}
