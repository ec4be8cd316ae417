import type { Cache } from '../../cache/types.ts'
import { expectFunction, expectObject } from '../../shared/arguments.ts'
import type { FetchHandler } from './fetch-cache.ts'
import { type HttpCacheOptions, resolveHttpCacheOptions } from './http-cache-options.ts'

/** A cache that caches responses as well. */
export interface HttpCache<Name extends string = string, Tag extends string = string> extends Cache<Name, Tag> {
  /**
   * Wraps a fetch-style handler in one that caches its responses where that is safe, with entity tags, `304`, `Age`,
   * `Cache-Status` (RFC 9211) and bodies that are encoded once in each coding.
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

/** Adds the method `http` to a cache. The cache has none itself, because `cache/` does not know HTTP. */
export function withHttp<Name extends string, Tag extends string>(cache: Cache<Name, Tag>): HttpCache<Name, Tag> {
  return Object.assign(cache, {
    http(handler: FetchHandler, options: HttpCacheOptions<Request, Name, Tag> = {}) {
      expectFunction(handler, 'handler')
      const settings = resolveHttpCacheOptions(options as HttpCacheOptions<Request>, cache)
      let answer: ((request: Request) => Promise<Response>) | undefined
      return async (request: Request) => {
        expectObject(request, 'request', ['clone'], 'a Request')
        if (answer === undefined) {
          // Imported at the first request, because most caches serve no HTTP.
          const { createFetchCache } = await import('./fetch-cache.ts')
          answer ??= createFetchCache(cache, settings, handler)
        }
        return answer(request)
      }
    },
  })
}
