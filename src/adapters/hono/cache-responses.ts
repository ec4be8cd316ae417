import type { Context, MiddlewareHandler } from 'hono'
import { wrongFramework } from '../../http/expect-call.ts'
import { respondFetch } from '../../http/response-cache/fetch-cache.ts'
import type { HttpCacheOptions, ResponseStore } from '../../http/response-cache/http-cache-options.ts'
import { createResponseCache } from '../../http/response-cache/response-cache.ts'
import { currentPattern, replaceResponse } from './context.ts'

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
export function cacheResponses<Name extends string, Tag extends string>(
  cache: ResponseStore<Name, Tag>,
  options: HttpCacheOptions<Context, NoInfer<Name>, NoInfer<Tag>> = {},
): MiddlewareHandler {
  const responses = createResponseCache(cache, options)
  return async (c, next) => {
    if (typeof next !== 'function') throw wrongFramework('cacheResponses', 'hono')
    const run = async (request: Request) => {
      c.req.raw = request
      await next()
      return c.res
    }
    // Reading `c.res` would make a response, which later ones are merged into.
    const prior = new Headers(c.body(null).headers)
    const exchange = {
      request: c.req.raw,
      original: c,
      route: currentPattern(c),
      prior,
      run,
      rerun: rerunRest(c, prior),
    }
    replaceResponse(c, await respondFetch(responses, exchange))
  }
}

/** Returns a function that runs the handlers after the present one again, in another context. */
function rerunRest(c: Context, prior: Headers): (request: Request) => Promise<Response> {
  const { req, env, var: variables } = c
  const { routeIndex } = req
  const routes = req.matchedRoutes
  return async (request) => {
    // Hono exports no way to make a context, except the class of one that it has made. Each route has its own parameters.
    const copy = new (c.constructor as typeof Context)(request, {
      env,
      path: req.path,
      matchResult: [routes.map((route, index) => [[route.handler, route], parametersAt(req, index)])],
    })
    for (const [name, value] of Object.entries(variables)) copy.set(name, value)
    for (const [name, value] of prior) copy.header(name, value, { append: true })
    const dispatch = async (index: number): Promise<void> => {
      const route = routes[index]
      if (route === undefined) return
      copy.req.routeIndex = index
      const response = await route.handler(copy, () => dispatch(index + 1))
      if (response && !copy.finalized) copy.res = response as Response
    }
    await dispatch(routeIndex + 1)
    return copy.finalized ? copy.res : new Response(null, { status: 404 })
  }
}

/** The path parameters of one route, encoded again because Hono decodes them when they are read. */
function parametersAt(req: Context['req'], index: number): Record<string, string> {
  const { routeIndex } = req
  req.routeIndex = index
  const parameters = req.param() as Record<string, string>
  req.routeIndex = routeIndex
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, encodeURIComponent(value)]))
}
