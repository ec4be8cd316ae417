import type { Context, MiddlewareHandler } from 'hono'
import { wrongFramework } from '../../http/expect-call.ts'
import { checkFetch } from '../../http/freshness/fetch-freshness.ts'
import { createFreshness, type FreshnessOptions, type StampStore } from '../../http/freshness/freshness.ts'
import { toCachedRequest } from '../../http/response-cache/fetch-cache.ts'
import { currentPattern, givenAnswer, replaceResponse } from './context.ts'

/**
 * Answers 304 without running the handler when nothing that it reads has changed since the client's last answer. The entity
 * tag stands for the state of the cache's tags, so private answers can have one, and no body is stored. Use it on the route,
 * after the middleware that decides who may see the answer.
 *
 * @throws TypeError for a wrong option
 *
 * @example
 * ```ts
 * app.get('/orders', freshness(cache, { key: (c) => [c.get('userId')] }), listOrders)
 * ```
 */
export function freshness<Tag extends string>(
  cache: StampStore<Tag>,
  options: FreshnessOptions<Context, NoInfer<Tag>> = {},
): MiddlewareHandler {
  const checked = createFreshness(cache, options)
  return async (c, next) => {
    if (typeof next !== 'function') throw wrongFramework('freshness', 'hono')
    const run = async () => {
      await next()
      return givenAnswer(c)
    }
    const request = toCachedRequest(c.req.raw, c as Context, currentPattern(c))
    const response = await checkFetch(checked, request, run, (headers) => {
      for (const [name, value] of headers) c.header(name, value, { append: name === 'vary' })
      return c.body(null, 304)
    })
    replaceResponse(c, response)
  }
}
