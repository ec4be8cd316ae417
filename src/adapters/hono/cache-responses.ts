import type { Context, HonoRequest, MiddlewareHandler } from 'hono'
import type { StatusCode } from 'hono/utils/http-status'
import { wrongFramework } from '../../http/expect-call.ts'
import { respondFetch } from '../../http/response-cache/fetch-cache.ts'
import type { HttpCacheOptions, ResponseStore } from '../../http/response-cache/http-cache-options.ts'
import { createResponseCache } from '../../http/response-cache/response-cache.ts'
import { currentPattern, givenAnswer, replaceResponse } from './context.ts'

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
  /**
   * Whether the handler uses a renderer that middleware before the cache has set. Only the first context has that renderer.
   */
  let needsRenderer = false
  const middleware: MiddlewareHandler = async (c, next) => {
    if (typeof next !== 'function') throw wrongFramework('cacheResponses', 'hono')
    const run = async (request: Request) => {
      c.req.raw = request
      await next()
      return givenAnswer(c)
    }
    // Not from `c.res`: reading it would make a response, and later ones would be merged into that.
    const { status, headers } = c.body(null)
    const prior = new Headers(headers)
    // If another function, such as `every`, calls this middleware, a rerun would leave out the rest of that function.
    const isOnRoute = c.req.matchedRoutes[c.req.routeIndex]?.handler === middleware
    const onRenderer = () => {
      needsRenderer = true
    }
    const exchange = {
      request: c.req.raw,
      original: c,
      route: currentPattern(c),
      prior,
      run,
      rerun: isOnRoute && !needsRenderer ? rerunRest(c, status, prior, onRenderer) : undefined,
    }
    replaceResponse(c, await respondFetch(responses, exchange))
  }
  return middleware
}

/**
 * Returns a function that runs the handlers after the present one again, in another context. It resolves to `undefined` when
 * they need something that only the first context has: the application's handlers for errors and for pages not found, and
 * its renderer.
 */
function rerunRest(
  c: Context,
  status: number,
  prior: Headers,
  onRenderer: () => void,
): (request: Request) => Promise<Response | undefined> {
  const { env, var: variables } = c
  const req = c.req as HonoRequest<string, Validated>
  const { routeIndex } = req
  const routes = req.matchedRoutes
  return async (request) => {
    let isLikeFirst = true
    // Hono exports no way to make a context, but the class can be taken from an existing one. Each route has its own
    // parameters.
    const copy = new (c.constructor as typeof Context)(request, {
      env,
      executionCtx: executionContextOf(c),
      path: req.path,
      matchResult: [routes.map((route, index) => [[route.handler, route], parametersAt(req, index)])],
      notFoundHandler() {
        isLikeFirst = false
        return new Response(null, { status: 404 })
      },
    })
    for (const [name, value] of Object.entries(variables)) copy.set(name, value)
    for (const [name, value] of prior) copy.header(name, value, { append: true })
    for (const target of validatedTargets) {
      const data = req.valid(target)
      if (data !== undefined) copy.req.addValidatedData(target, data)
    }
    if (status !== 200) copy.status(status as StatusCode)
    copy.setLayout(c.getLayout() as Parameters<Context['setLayout']>[0])
    const { render, setRenderer } = copy
    copy.render = () => {
      isLikeFirst = false
      onRenderer()
      return new Response(null)
    }
    copy.setRenderer = (renderer) => {
      copy.render = render
      setRenderer(renderer)
    }
    const dispatch = async (index: number): Promise<void> => {
      const route = routes[index]
      if (route === undefined) return
      copy.req.routeIndex = index
      try {
        const response = await route.handler(copy, () => dispatch(index + 1))
        if (response && !copy.finalized) copy.res = response as Response
      } catch {
        isLikeFirst = false
      }
    }
    await dispatch(routeIndex + 1)
    return isLikeFirst && copy.finalized ? copy.res : undefined
  }
}

type Validated = { [Target in (typeof validatedTargets)[number]]: object | undefined }
const validatedTargets = ['json', 'form', 'query', 'param', 'header', 'cookie'] as const

/** Only some servers have an execution context; without one, Hono throws. */
function executionContextOf(c: Context): Context['executionCtx'] | undefined {
  try {
    return c.executionCtx
  } catch {
    return undefined
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
