import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context, ErrorHandler, MiddlewareHandler } from 'hono'
import { openRequestScope } from './database/query-scope.ts'
import type { HttpAnswer, HttpRequest } from './http/answer.ts'
import type { Authorize } from './http/authorize.ts'
import { type CompressOptions, createEngine } from './http/compressor.ts'
import { respondFetch } from './http/fetch-cache.ts'
import { compressFetchResponse } from './http/fetch-compression.ts'
import type { HttpCacheOptions, ResponseStore } from './http/http-cache-options.ts'
import { unmatched } from './http/labels.ts'
import { outcomeOf } from './http/outcome.ts'
import { createPerformanceRoutes, type PerformanceRoutesOptions } from './http/performance.ts'
import { createResponseCache } from './http/response-cache.ts'
import { type SavingsReport, savingsOf } from './http/savings.ts'
import type { PerformanceMonitor } from './monitor/monitor.ts'
import type { Outcome } from './monitor/types.ts'
import { problemDetails } from './shared/errors.ts'

export type { Authorize, CompressOptions, HttpCacheOptions, PerformanceRoutesOptions, ResponseStore, SavingsReport }

/** Options of {@link compressResponses}. */
export interface CompressResponsesOptions extends CompressOptions {
  /** Shows what was saved, by route, in its stats document under `additions.compression`. */
  readonly monitor?: SavingsReport | undefined
}

/**
 * Measures every request under the pattern of its route: on Node to the close of its response, elsewhere (`app.request`,
 * other runtimes) until the answer's headers are ready. Use it first.
 *
 * @example
 * ```ts
 * app.use(monitorRequests(monitor))
 * ```
 */
export function monitorRequests(monitor: PerformanceMonitor): MiddlewareHandler {
  // An async function would be another promise for each request, and `c.req.header` copies all headers: a quarter of the cost.
  return (c, next) => {
    const { method, path } = c.req
    if (monitor.ignores(method, path)) return next()
    const startedAt = monitor.start()
    const label = (status: number) => {
      const named = monitor.routeOf(c)
      return named === undefined ? labelOf(c, status) : named
    }
    const scope = openRequestScope(() => `${method} ${label(200)}`)
    const end = (status: number, outcome: Outcome, traceparent: () => string | undefined) => {
      monitor.record(method, label(status), status, startedAt, outcome, traceparent)
      scope?.end()
    }
    const { incoming, outgoing } = nodeBindings(c)
    if (outgoing === undefined) return untilAnswered(c, () => (scope === undefined ? next() : scope.run(next)), end)
    outgoing.on('close', () => {
      const outcome = outcomeOf(incoming, outgoing)
      const status = outcome === 'aborted' ? 499 : outgoing.statusCode
      // Node reads the headers of a request when they are asked for.
      end(status, outcome, () => incoming.headers.traceparent as string | undefined)
    })
    return scope === undefined ? next() : scope.run(next)
  }
}

/** Where there is no response of Node's, a request ends when the headers of its answer are ready. */
async function untilAnswered(
  c: Context,
  run: () => Promise<void>,
  end: (status: number, outcome: Outcome, traceparent: () => string | undefined) => void,
): Promise<void> {
  let status = 500
  let outcome: Outcome = 'completed'
  try {
    await run()
    status = c.res.status
    // The WebSocket helpers run the middleware with the answer of a plain request.
    if (c.req.header('upgrade') !== undefined && status < 400) outcome = 'upgrade'
    else if (c.res.headers.get('content-type')?.startsWith('text/event-stream')) outcome = 'stream'
  } finally {
    end(status, outcome, () => c.req.header('traceparent'))
  }
}

const loadPage = () => import('./dashboard/page.ts')

/**
 * The live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, `GET /health` and its kin,
 * at these absolute paths. They do not enter the statistics.
 *
 * @throws TypeError for a wrong option
 *
 * @example
 * ```ts
 * app.use(performanceRoutes(monitor, { authorize: { bearer: token } }))
 * ```
 */
export function performanceRoutes(
  monitor: PerformanceMonitor,
  options?: PerformanceRoutesOptions<Context>,
): MiddlewareHandler {
  const routes = createPerformanceRoutes(monitor, options, { loadPage })
  // Not async, as every other request passes through it.
  return (c, next) => {
    const { method, path } = c.req
    const handle = routes.get(path)
    if (handle === undefined || (method !== 'GET' && method !== 'HEAD')) return next()
    if (!monitor.ignores(method, path)) monitor.setRoute(c, null)
    return answerOwn(c, handle)
  }
}

async function answerOwn(c: Context, handle: (request: HttpRequest) => Promise<HttpAnswer>): Promise<Response> {
  const { method, path, url } = c.req
  const { status, headers, body } = await handle({
    method,
    path,
    query: new URL(url).searchParams,
    header: (name) => c.req.header(name),
    original: c,
    socket: nodeBindings(c).incoming?.socket,
  })
  const content = typeof body === 'string' ? body : ReadableStream.from(body).pipeThrough(new TextEncoderStream())
  return new Response(method === 'HEAD' ? null : content, { status, headers })
}

/**
 * Compresses answers, whole ones and streams, by what the client accepts; `false` leaves those of a route as they are. Use it
 * before the routes.
 *
 * @throws TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * app.use(compressResponses())
 * app.get('/token', compressResponses(false), sendToken)
 * ```
 */
export function compressResponses(options: CompressResponsesOptions | false = {}): MiddlewareHandler {
  if (options === false) {
    return (c, next) => {
      uncompressed.add(c)
      return next()
    }
  }
  const engine = createEngine(options)
  const save = options.monitor && savingsOf(options.monitor)
  return async (c, next) => {
    await next()
    if (uncompressed.has(c)) return
    const onEncoded =
      save &&
      ((rawBytes: number, sentBytes: number) => save(c.req.method, labelOf(c, c.res.status), rawBytes, sentBytes))
    replaceResponse(c, await compressFetchResponse(c.req.raw, c.res, engine, onEncoded))
  }
}

/** Contexts of routes that turned compression off. */
const uncompressed = new WeakSet<Context>()

/**
 * Answers from the cache, and stores what the handlers after it answer, where that is safe. Use it on the route, after whatever
 * decides who may see the answer.
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
    const run = async (request: Request) => {
      c.req.raw = request
      await next()
      return c.res
    }
    const rerun = rerunRest(c)
    replaceResponse(c, await respondFetch(responses, c.req.raw, c, run, rerun))
  }
}

/** Runs the handlers after the present one, in a context of their own. */
function rerunRest(c: Context): (request: Request) => Promise<Response> {
  const { req, env, var: variables } = c
  const { routeIndex } = req
  const routes = req.matchedRoutes
  return async (request) => {
    // The public way to a context is to be given one; each route brings its own parameters.
    const copy = new (c.constructor as typeof Context)(request, {
      env,
      path: req.path,
      matchResult: [routes.map((route, index) => [[route.handler, route], parametersAt(req, index)])],
    })
    for (const [name, value] of Object.entries(variables)) copy.set(name, value)
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

/** Encoded again, as they are decoded when they are read. */
function parametersAt(req: Context['req'], index: number): Record<string, string> {
  const { routeIndex } = req
  req.routeIndex = index
  const parameters = req.param() as Record<string, string>
  req.routeIndex = routeIndex
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, encodeURIComponent(value)]))
}

/** Setting a response over another one would put the headers of the other one into it. */
function replaceResponse(c: Context, response: Response): void {
  if (response === c.res) return
  c.res = undefined
  c.res = response
}

/**
 * Answers the errors that a client's input caused with 400 and a problem document (RFC 9457), those that bring their own
 * answer (`HTTPException`) with it, and throws every other error.
 *
 * @example
 * ```ts
 * app.onError(answerErrors())
 * ```
 */
export function answerErrors(): ErrorHandler {
  return (error) => {
    const problem = problemDetails(error)
    if (problem !== undefined) return new Response(problem.body, { status: problem.status, headers: problem.headers })
    if ('getResponse' in error) return error.getResponse()
    throw error
  }
}

/** Node's own request and response, where `@hono/node-server` runs the app. */
function nodeBindings(c: Context): { incoming: IncomingMessage; outgoing?: ServerResponse } {
  return (c.env ?? {}) as { incoming: IncomingMessage; outgoing?: ServerResponse }
}

/**
 * The pattern of the route that answered. Hono's own `routePath` is the last handler that ran: for a 404 or a request that a
 * middleware turned away, that is the middleware's `*`. Then the route that was wanted comes after it.
 */
function labelOf({ req }: Context, status: number): string {
  const routes = req.matchedRoutes
  const reached = routes[req.routeIndex]
  if (reached !== undefined && !isMiddleware(reached)) return reached.path
  const target = routes.slice(req.routeIndex + 1).find((route) => !isMiddleware(route))
  if (target !== undefined) return target.path
  return status === 404 || reached === undefined ? unmatched : reached.path
}

function isMiddleware({ method, path }: { method: string; path: string }): boolean {
  return method === 'ALL' && path.endsWith('*')
}
