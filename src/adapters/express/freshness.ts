import { expectExpress } from '../../http/expect-call.ts'
import type { ExpressRequest } from '../../http/express-tree.ts'
import { createFreshness, type FreshnessOptions, type StampStore } from '../../http/freshness/freshness.ts'
import { checkNode } from '../../http/freshness/node-freshness.ts'
import { readCachedRequest } from './cached-request.ts'
import type { Middleware } from './middleware.ts'

/**
 * Answers 304 without running the handler when nothing that it reads has changed since the client's last answer. The entity
 * tag stands for the state of the cache's tags, so private answers can have one, and no body is stored. Use it on the route,
 * after the middleware that decides who may see the answer.
 *
 * @throws TypeError for a wrong option
 *
 * @example
 * ```ts
 * app.get('/orders', freshness(cache, { key: (request) => [userOf(request)] }), listOrders)
 * ```
 */
export function freshness<Tag extends string, Request extends ExpressRequest = ExpressRequest>(
  cache: StampStore<Tag>,
  options: FreshnessOptions<Request, NoInfer<Tag>> = {},
): Middleware<Request> {
  const checked = createFreshness(cache, options)
  return (request, response, next) => {
    expectExpress('freshness', request, next)
    if (request.httpVersionMajor > 1) return next()
    checkNode(checked, readCachedRequest(request), response, next)
  }
}
