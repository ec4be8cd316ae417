import type { IncomingMessage, ServerResponse } from 'node:http'
import { expectExpress } from '../../http/expect-call.ts'
import { type ExpressRequest, servedApp } from '../../http/express-tree.ts'
import type { HttpCacheOptions, ResponseStore } from '../../http/response-cache/http-cache-options.ts'
import { continueRerun, rerunApplication, respondNode } from '../../http/response-cache/node-cache.ts'
import { createResponseCache } from '../../http/response-cache/response-cache.ts'
import { readCachedRequest } from './cached-request.ts'
import type { Middleware } from './middleware.ts'

/**
 * Answers from the cache, and stores the answers of the handlers after it, where that is safe. Use it on the route, after the
 * middleware that decides who may see the answer.
 *
 * @throws TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * app.get('/users', cacheResponses(cache, { profile: 'users', tags: ['users'], query: ['page', 'per_page'] }), listUsers)
 * ```
 */
export function cacheResponses<
  Name extends string,
  Tag extends string,
  Request extends ExpressRequest = ExpressRequest,
>(
  cache: ResponseStore<Name, Tag>,
  options: HttpCacheOptions<Request, NoInfer<Name>, NoInfer<Tag>> = {},
): Middleware<Request> {
  const responses = createResponseCache(cache, options)
  const { maxBytes } = responses.settings
  return (request, response, next) => {
    expectExpress('cacheResponses', request, next)
    if (continueRerun(request)) return next()
    // Over HTTP/2, which Express does not support, a head cannot be held back once it is written.
    if (request.httpVersionMajor > 1) return next()
    const rerun = (signal: AbortSignal) =>
      rerunApplication(servedApp(request) as Application, request, request.originalUrl, maxBytes, signal)
    respondNode(responses, { request: readCachedRequest(request), response, next, rerun })
  }
}

type Application = (request: IncomingMessage, response: ServerResponse) => void
