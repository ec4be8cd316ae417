import type { IncomingMessage } from 'node:http'
import { unmatched } from './measure-request.ts'

/** The part of an Express request, 4 or 5, that we read. */
export interface ExpressRequest extends IncomingMessage {
  /** In capitals. */
  readonly method: string
  /** As the client sent it. */
  readonly originalUrl: string
  /** Without the mount path and the query. */
  readonly path: string
  /** The application that handles the request. */
  readonly app: unknown
  /** The mount path, with the values of its parameters. */
  readonly baseUrl?: string
  /** The route that handles the request. */
  readonly route?: unknown
}

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

/** Where a request was when its route took it. */
interface RouteSeen {
  readonly route: Route
  readonly app: unknown
  /** The mounts in front of the route, with values in place of parameters. */
  readonly baseUrl: string
}

const routeSeen: unique symbol = Symbol('posthaste.routeSeen')
const firstApp: unique symbol = Symbol('posthaste.firstApp')

type WatchedRequest = ExpressRequest & { [routeSeen]?: RouteSeen | undefined; [firstApp]?: unknown }

/** The same for every request: a pair of functions for each would cost more than the rest of the measurement. */
const watchedRoute: PropertyDescriptor = {
  get(this: WatchedRequest) {
    return this[routeSeen]?.route
  },
  set(this: WatchedRequest, route: Route | undefined) {
    this[routeSeen] = route && { route, app: this.app, baseUrl: this.baseUrl ?? '' }
  },
  configurable: true,
  enumerable: true,
}

/** Notes the application and the mounts of a request when its route takes it: an error that leaves them unwinds both. */
export function watchRoute(request: ExpressRequest): void {
  if (request.route !== undefined) return
  const watched: WatchedRequest = request
  // An application that a middleware calls does not know its parent.
  watched[firstApp] = request.app
  Object.defineProperty(request, 'route', watchedRoute)
}

interface Route {
  readonly path: Path
  readonly methods: Readonly<Record<string, boolean>>
}

type Path = string | RegExp | readonly Path[]
/** @param baseUrl - what the mounts in front of the layer took of the path */
type Target = (layer: Layer & { readonly route: Route }, path: string, baseUrl: string) => boolean

/**
 * Finds the pattern under which a request was answered, mount paths included. Express keeps only values in `baseUrl`; the
 * `Route` object stays, so its place in the tree of routers is looked for once, and remembered where there is but one.
 */
export function createExpressLabels(): (request: ExpressRequest, status: number) => string {
  const labels = new WeakMap<Route, string>()
  return (request, status) => {
    const seen = (request as WatchedRequest)[routeSeen]
    const route = seen?.route ?? (request.route as Route | undefined)
    if (route === undefined) return status === 404 ? unmatched : (find(request, wanted(request.method)) ?? unmatched)
    const known = labels.get(route)
    if (known !== undefined) return known
    const isTarget: Target = (layer, _path, baseUrl) =>
      layer.route === route && (seen === undefined || baseUrl === seen.baseUrl.replace(/\/$/, ''))
    const apps = appsOf(seen ?? request)
    const path = pathOf(request)
    const label = walk(apps, path, isTarget, '') ?? labelOfHidden(request, route, path)
    if (occurrences(apps, route) === 1) labels.set(route, label)
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
  return walk(appsOf(request), pathOf(request), isTarget, '')
}

/** As the routers see it: of an absolute URL only the path. */
export function pathOf({ originalUrl }: ExpressRequest): string {
  return originalUrl.replace(/[?#].*$/s, '').replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '') || '/'
}

/** The pattern of the first target along the path, below the first of the routers. */
function walk(
  [router, ...inner]: readonly unknown[],
  path: string,
  isTarget: Target,
  baseUrl: string,
): string | undefined {
  for (const layer of stackOf(router)) {
    if (layer.route !== undefined) {
      if (isTarget(layer as Layer & { route: Route }, path, baseUrl)) return literal(layer.route.path)
      continue
    }
    const below = routersBelow(layer, inner)
    const mount = stackOf(below[0]).length === 0 ? undefined : mountOf(layer, path)
    if (mount === undefined) continue
    const rest = path.slice(mount.matched.length)
    const base = baseUrl + mount.matched.replace(/\/$/, '')
    const label = walk(below, rest.startsWith('/') ? rest : `/${rest}`, isTarget, base)
    if (label !== undefined) return joinPaths(mount.pattern, label)
  }
  return undefined
}

/** The label of a route that is not in the tree: a middleware has called its router, or its application. */
function labelOfHidden(request: WatchedRequest, route: Route, path: string): string {
  const { [routeSeen]: seen, [firstApp]: app } = request
  const baseUrl = (seen ?? request).baseUrl ?? ''
  const mounts = mountsOf(appsOf(app === undefined ? (seen ?? request) : { app }), path, baseUrl.replace(/\/$/, ''))
  return joinPaths(mounts ?? '', literal(route.path))
}

/** The pattern of the mounts that took `baseUrl` of the path, with `*` for a rest that no known layer took. */
function mountsOf([router, ...inner]: readonly unknown[], path: string, baseUrl: string): string | undefined {
  let partial: string | undefined
  for (const layer of stackOf(router)) {
    const mount = layer.route === undefined ? mountOf(layer, path) : undefined
    if (mount === undefined) continue
    const taken = mount.matched.replace(/\/$/, '')
    if (!`${baseUrl}/`.startsWith(`${taken}/`)) continue
    const rest = baseUrl.slice(taken.length)
    if (rest === '') return mount.pattern
    const below = mountsOf(routersBelow(layer, inner), path.slice(taken.length), rest)
    if (below !== undefined) return joinPaths(mount.pattern, below)
    if (taken !== '') partial = joinPaths(mount.pattern, '/*')
  }
  return partial
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
export function appsOf(request: Pick<ExpressRequest, 'app'>): App[] {
  const apps: App[] = []
  for (let app = request.app as App | undefined; app !== undefined; app = app.parent) apps.unshift(app)
  return apps
}

/** The handlers in front of this one in its application. */
export function handlersBefore(request: ExpressRequest, middleware: unknown): unknown[] {
  const handles = stackOf(request.app).map(({ handle }) => handle)
  return handles.slice(0, Math.max(0, handles.indexOf(middleware)))
}

/** The paths that a middleware would see of a request; `undefined` when it is in no router that the application shows. */
export function pathsAt(request: ExpressRequest, middleware: unknown): readonly string[] | undefined {
  const apps = appsOf(request)
  return isWithin(apps, middleware) ? [...pathsBelow(apps, pathOf(request), middleware)] : undefined
}

function isWithin([router, ...inner]: readonly unknown[], middleware: unknown): boolean {
  return stackOf(router).some(
    (layer) => layer.handle === middleware || isWithin(routersBelow(layer, inner), middleware),
  )
}

function* pathsBelow([router, ...inner]: readonly unknown[], path: string, middleware: unknown): Generator<string> {
  for (const layer of stackOf(router)) {
    const below = routersBelow(layer, inner)
    const isIt = layer.handle === middleware
    const mount = isIt || stackOf(below[0]).length > 0 ? mountOf(layer, path) : undefined
    if (mount === undefined) continue
    const rest = path.slice(mount.matched.length)
    const seen = rest.startsWith('/') ? rest : `/${rest}`
    if (isIt) yield seen
    else yield* pathsBelow(below, seen, middleware)
  }
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
    pattern:
      regexp === undefined ? namesForValues(layer, part, { ...params }) : namesForSpans(path, part, regexp, keys),
  }
}

function matched(layer: Layer, path: string): ReturnType<Layer['match']> | undefined {
  try {
    return layer.match(path) || undefined
  } catch {
    return undefined // a path that cannot be decoded
  }
}

/** How `path-to-regexp` ends the expression that it makes of a mount path. */
const endOfMount = '(?=\\/|$)'

/** Express 4: what the groups of the mount's expression matched is replaced by their names. */
function namesForSpans(path: string, part: string, regexp: RegExp, keys: NonNullable<Layer['keys']>): string {
  // The user's own expression: what it matched is a part of the URL.
  if (part !== '' && !regexp.source.endsWith(endOfMount)) return regexp.source
  const spans = part === '' ? undefined : new RegExp(regexp.source, `${regexp.flags}d`).exec(path)?.indices
  const fixed = (text: string) => (regexp.ignoreCase ? text.toLowerCase() : text)
  let pattern = ''
  let end = 0
  for (const [index, key] of keys.entries()) {
    const span = spans?.[index + 1]
    if (span === undefined) continue
    pattern += `${fixed(part.slice(end, span[0]))}:${key.name}`
    end = span[1]
  }
  return pattern + fixed(part.slice(end))
}

/** A text that no mount path has. */
const nowhere = 'posthaste-nowhere'

/**
 * Router 2.0 to 2.2 keeps no pattern, but the values of the parameters: they are replaced by their names, and what is left
 * must be fixed, which the layer tells when it is asked for another path. A part of the URL is never put into the pattern.
 */
function namesForValues(layer: Layer, part: string, params: Readonly<Record<string, unknown>>): string {
  const left = Object.entries(params).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, Array.isArray(value) ? value.join('/') : String(value)]],
  )
  const lower = part.toLowerCase()
  const isCaseFree = lower !== part && matched(layer, lower) !== undefined
  const segments = part.split('/').map(decode)
  const named = segments.map((segment, index) => {
    if (segment === '') return segment
    const [name, value] = left[0] ?? []
    if (name !== undefined && value !== undefined && value !== '' && segment.includes(value)) {
      left.shift()
      return segment === value ? `:${name}` : undefined
    }
    const other = segments.with(index, nowhere).map(encodeURIComponent).join('/')
    if (matched(layer, other) !== undefined) return undefined
    return isCaseFree ? segment.toLowerCase() : segment
  })
  return left.length > 0 || named.includes(undefined) ? '/*' : named.join('/')
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
