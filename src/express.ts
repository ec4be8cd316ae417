import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openRequestScope } from './database/query-scope.ts'
import type { Authorize } from './http/authorize.ts'
import { type CompressOptions, createEngine } from './http/compressor.ts'
import type { HttpCacheOptions, ResponseStore } from './http/http-cache-options.ts'
import { unmatched } from './http/labels.ts'
import { isRerun, rerunApplication, respondNode } from './http/node-cache.ts'
import { compressNodeResponse } from './http/node-compression.ts'
import { outcomeOf } from './http/outcome.ts'
import { createPerformanceRoutes, type PerformanceRoutesOptions } from './http/performance.ts'
import { createResponseCache } from './http/response-cache.ts'
import { type SavingsReport, savingsOf } from './http/savings.ts'
import { monitorUpgrades, type UpgradingServer } from './http/upgrades.ts'
import type { PerformanceMonitor } from './monitor/monitor.ts'
import { problemDetails } from './shared/errors.ts'

export type {
  Authorize,
  CompressOptions,
  HttpCacheOptions,
  PerformanceRoutesOptions,
  ResponseStore,
  SavingsReport,
  UpgradingServer,
}
export { monitorUpgrades }

/** Options of {@link compressResponses}. */
export interface CompressResponsesOptions extends CompressOptions {
  /** Shows what was saved, by route, in its stats document under `additions.compression`. */
  readonly monitor?: SavingsReport | undefined
}

/** What the adapter reads of an Express request, 4 or 5. */
interface ExpressRequest extends IncomingMessage {
  readonly method: string
  readonly originalUrl: string
  readonly path: string
  readonly app: unknown
  readonly route?: unknown
}

type Next = (error?: unknown) => void

/** Express's middleware, without naming Express's types. */
export type Middleware<Request extends ExpressRequest = ExpressRequest> = (
  request: Request,
  response: ServerResponse,
  next: Next,
) => void

/** Express's error handler. */
export type ErrorHandler = (error: unknown, request: IncomingMessage, response: ServerResponse, next: Next) => void

/**
 * Measures every request from here to the close of its response, under the pattern of its route. Use it first.
 *
 * @example
 * ```ts
 * app.use(monitorRequests(monitor))
 * ```
 */
export function monitorRequests(monitor: PerformanceMonitor): Middleware {
  const labelOf = createLabels()
  return (request, response, next) => {
    const { method } = request
    if (monitor.ignores(method, request.path)) return next()
    const startedAt = monitor.start()
    const label = (status: number) => {
      const named = monitor.routeOf(request)
      return named === undefined ? labelOf(request, status) : named
    }
    const scope = openRequestScope(() => `${method} ${label(200)}`)
    // One closure: a property on the response or a WeakMap entry costs several times as much.
    response.on('close', () => {
      const outcome = outcomeOf(request, response)
      const status = outcome === 'aborted' ? 499 : response.statusCode
      const traceparent = () => request.headers.traceparent as string | undefined
      monitor.record(method, label(status), status, startedAt, outcome, traceparent)
      scope?.end()
    })
    if (scope === undefined) next()
    else scope.run(next)
  }
}

const loadPage = () => import('./dashboard/page.ts')

/**
 * The live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, `GET /health` and its kin,
 * relative to where it is mounted. They do not enter the statistics.
 *
 * @throws TypeError for a wrong option
 *
 * @example
 * ```ts
 * app.use(performanceRoutes(monitor, { authorize: { bearer: token } }))
 * ```
 */
export function performanceRoutes<Request extends ExpressRequest = ExpressRequest>(
  monitor: PerformanceMonitor,
  options?: PerformanceRoutesOptions<Request>,
): Middleware<Request> {
  const routes = createPerformanceRoutes(monitor, options, { loadPage })
  return (request, response, next) => {
    const handle = routes.get(request.path)
    if (handle === undefined || (request.method !== 'GET' && request.method !== 'HEAD')) return next()
    const { pathname, searchParams } = new URL(request.originalUrl, 'http://localhost')
    if (!monitor.ignores(request.method, pathname)) monitor.setRoute(request, null)
    const header = (name: string) => request.headers[name] as string | undefined
    const { method, path, socket } = request
    handle({ method, path, query: searchParams, header, original: request, socket })
      .then(({ status, headers, body }) =>
        writeAnswer(response, status, headers, request.method === 'HEAD' ? '' : body),
      )
      .catch(next)
  }
}

/**
 * Compresses answers, whole ones and those written in pieces, by what the client accepts; `false` leaves those of a route as
 * they are. Use it before the routes.
 *
 * @throws TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * app.use(compressResponses())
 * app.get('/token', compressResponses(false), sendToken)
 * ```
 */
export function compressResponses(options: CompressResponsesOptions | false = {}): Middleware {
  if (options === false) {
    return (_request, response, next) => {
      uncompressed.add(response)
      next()
    }
  }
  const engine = createEngine(options)
  const labelOf = createLabels()
  const save = options.monitor && savingsOf(options.monitor)
  return (request, response, next) => {
    const isOff = () => uncompressed.has(response)
    const onEncoded =
      save &&
      ((rawBytes: number, sentBytes: number) =>
        save(request.method, labelOf(request, response.statusCode), rawBytes, sentBytes))
    compressNodeResponse(request, response, { engine, isOff, onEncoded })
    next()
  }
}

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
    if (isRerun(request)) return next()
    const url = request.originalUrl
    const rerun = () => rerunApplication(appsOf(request)[0] as Application, request, url, maxBytes)
    respondNode(responses, { request, response, url, original: request, next, rerun })
  }
}

/** Answers of routes that turned compression off. */
const uncompressed = new WeakSet<ServerResponse>()

/**
 * Answers the errors that a client's input caused with 400 and a problem document (RFC 9457), and hands every other error to
 * the next handler. Use it last.
 */
export function answerErrors(): ErrorHandler {
  return (error, _request, response, next) => {
    const problem = problemDetails(error)
    if (problem === undefined || response.headersSent) return next(error)
    response.writeHead(problem.status, { ...problem.headers }).end(problem.body)
  }
}

async function writeAnswer(
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: string | AsyncIterable<string>,
): Promise<void> {
  response.writeHead(status, { ...headers })
  if (typeof body === 'string') {
    response.end(body)
    return
  }
  await pipeline(Readable.from(body), response).catch((error: NodeJS.ErrnoException) => {
    // A client that leaves ends the stream, and is no error of the application's.
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  })
}

type Application = (request: IncomingMessage, response: ServerResponse) => void

/** An application or a router. */
interface App {
  readonly parent?: App
}

/** What `use` and the routes register, in Express 4 and in the three shapes of the router of Express 5. */
interface Layer {
  readonly name: string
  readonly handle: unknown
  readonly route?: Route
  /** Router 2.3 answers with what matched and its pattern; before that, it answers true and leaves `path` and `params`. */
  match(path: string): boolean | { readonly path: string; readonly pattern: Path }
  readonly path?: string
  readonly params?: Readonly<Record<string, string>>
  /** Express 4 only. */
  readonly regexp?: RegExp
  readonly keys?: readonly { readonly name: string | number }[]
}

interface Route {
  readonly path: Path
  readonly methods: Readonly<Record<string, boolean>>
}

type Path = string | RegExp | readonly Path[]
type Target = (layer: Layer & { readonly route: Route }, path: string) => boolean

/**
 * Finds the pattern under which a request was answered, mount paths included. Express keeps only values in `baseUrl`, and
 * forgets them when an error leaves a router; the `Route` object stays, so its place in the tree of routers is looked for
 * once, and remembered where there is but one.
 */
function createLabels(): (request: ExpressRequest, status: number) => string {
  const known = new WeakMap<Route, string>()
  return (request, status) => {
    const route = request.route as Route | undefined
    if (route === undefined) return status === 404 ? unmatched : (find(request, wanted(request.method)) ?? unmatched)
    const remembered = known.get(route)
    if (remembered !== undefined) return remembered
    const label = find(request, (layer) => layer.route === route) ?? literal(route.path)
    if (occurrences(appsOf(request), route) === 1) known.set(route, label)
    return label
  }
}

/**
 * A request that no route answered, but a middleware before it, is labelled with the route it wanted. Express answers HEAD by
 * GET's route, and OPTIONS by itself for any route.
 */
function wanted(method: string): Target {
  const name = method === 'HEAD' ? 'get' : method.toLowerCase()
  return (layer, path) => {
    const { methods } = layer.route
    return (methods[name] || methods._all || name === 'options') === true && matched(layer, path) !== undefined
  }
}

function find(request: ExpressRequest, isTarget: Target): string | undefined {
  return walk(appsOf(request), request.originalUrl.replace(/\?.*$/s, ''), isTarget)
}

/** The pattern of the first target along the path, below the first of the routers. */
function walk([router, ...inner]: readonly unknown[], path: string, isTarget: Target): string | undefined {
  for (const layer of stackOf(router)) {
    if (layer.route !== undefined) {
      if (isTarget(layer as Layer & { route: Route }, path)) return literal(layer.route.path)
      continue
    }
    const below = routersBelow(layer, inner)
    const mount = stackOf(below[0]).length === 0 ? undefined : mountOf(layer, path)
    if (mount === undefined) continue
    const rest = path.slice(mount.matched.length)
    const label = walk(below, rest.startsWith('/') ? rest : `/${rest}`, isTarget)
    if (label !== undefined) return joinPaths(mount.pattern, label)
  }
  return undefined
}

function joinPaths(mount: string, path: string): string {
  const prefix = mount.replace(/\/$/, '')
  return path === '/' && prefix !== '' ? prefix : prefix + path
}

function occurrences([router, ...inner]: readonly unknown[], route: Route): number {
  let count = 0
  for (const layer of stackOf(router)) {
    count += layer.route === undefined ? occurrences(routersBelow(layer, inner), route) : Number(layer.route === route)
  }
  return count
}

/** The applications a request went through, the outermost first. */
function appsOf(request: ExpressRequest): App[] {
  const apps: App[] = []
  for (let app = request.app as App | undefined; app !== undefined; app = app.parent) apps.unshift(app)
  return apps
}

/** `app.use` hides an application in a closure of this name; which one it is, the request's own chain of applications tells. */
function routersBelow(layer: Layer, inner: readonly unknown[]): readonly unknown[] {
  return layer.name === 'mounted_app' ? inner : [layer.handle, ...inner]
}

function stackOf(router: unknown): readonly Layer[] {
  if (typeof router !== 'function') return []
  const { stack } = router as { stack?: readonly Layer[] }
  if (stack !== undefined) return stack
  // Reading `app.router` throws in Express 4, which is told by `lazyrouter`.
  const app = router as {
    lazyrouter?: unknown
    _router?: { stack: readonly Layer[] }
    router?: { stack: readonly Layer[] }
  }
  return (app.lazyrouter === undefined ? app.router : app._router)?.stack ?? []
}

interface Mount {
  /** The part of the path that the layer took. */
  readonly matched: string
  /** The pattern it was mounted under. */
  readonly pattern: string
}

function mountOf(layer: Layer, path: string): Mount | undefined {
  const match = matched(layer, path)
  if (match === undefined) return undefined
  if (typeof match === 'object') return { matched: match.path, pattern: literal(match.pattern) }
  const { path: part = '', regexp, keys = [], params = {} } = layer
  return {
    matched: part,
    pattern: regexp === undefined ? namesForValues(part, params) : namesForSpans(path, part, regexp, keys),
  }
}

function matched(layer: Layer, path: string): ReturnType<Layer['match']> | undefined {
  try {
    return layer.match(path) || undefined
  } catch {
    return undefined // a path that cannot be decoded
  }
}

/** Express 4: what the groups of the mount's expression matched is replaced by their names. */
function namesForSpans(path: string, part: string, regexp: RegExp, keys: NonNullable<Layer['keys']>): string {
  const spans = part === '' ? undefined : new RegExp(regexp.source, `${regexp.flags}d`).exec(path)?.indices
  let pattern = ''
  let end = 0
  for (const [index, key] of keys.entries()) {
    const span = spans?.[index + 1]
    if (span === undefined) continue
    pattern += `${part.slice(end, span[0])}:${key.name}`
    end = span[1]
  }
  return pattern + part.slice(end)
}

/** Router 2.0 to 2.2 keeps no pattern: segments that equal a parameter's value, in order, are replaced by its name. */
function namesForValues(part: string, params: Readonly<Record<string, string>>): string {
  const left = Object.entries(params)
  return part
    .split('/')
    .map((segment) => {
      const index = left.findIndex(([, value]) => value === decode(segment))
      return segment === '' || index === -1 ? segment : `:${left.splice(0, index + 1).at(-1)?.[0]}`
    })
    .join('/')
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}

function literal(path: Path): string {
  if (path instanceof RegExp) return path.source
  return typeof path === 'string' ? path : path.map(literal).join('|')
}
