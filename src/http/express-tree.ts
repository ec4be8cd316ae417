import type { IncomingMessage } from 'node:http'

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
export interface App {
  readonly parent?: App
}

/** What `use` and the routes register, in Express 4 and in the three shapes of the router of Express 5. */
export interface Layer {
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

export interface Route {
  readonly path: Path
  readonly methods: Readonly<Record<string, boolean>>
}

type Path = string | RegExp | readonly Path[]

export function joinPaths(mount: string, path: string): string {
  const prefix = mount.replace(/\/$/, '')
  return path === '/' && prefix !== '' ? prefix : prefix + path
}

/** As the routers see it: of an absolute URL only the path. */
export function pathOf({ originalUrl }: ExpressRequest): string {
  return originalUrl.replace(/[?#].*$/s, '').replace(/^[a-z][a-z\d+.-]*:\/\/[^/]*/i, '') || '/'
}

/** The applications a request went through, the outermost first. */
export function appsOf(request: Pick<ExpressRequest, 'app'>): App[] {
  const apps: App[] = []
  for (let app = request.app as App | undefined; app !== undefined; app = app.parent) apps.unshift(app)
  return apps
}

/** The outermost application around an application; `undefined` for a router that is used without one. */
export function outermost(app: unknown): App | undefined {
  let outer = app as App | undefined
  while (outer?.parent !== undefined) outer = outer.parent
  return outer
}

/**
 * The application that the server of a request runs, if it is one of Express or Connect; else the outermost one that is known.
 * An application that another one calls in a function, as `vhost` does, does not know that one.
 */
export function servedApp({ app, socket }: ExpressRequest): unknown {
  const outer = outermost(app)
  const { server } = socket as { server?: { listeners?(event: 'request'): readonly unknown[] } | null }
  const listeners = server?.listeners?.('request') ?? []
  if (listeners.includes(outer)) return outer
  return listeners.find((listener) => typeof (listener as { handle?: unknown }).handle === 'function') ?? outer
}

/** The handlers in front of this one in its application. */
export function handlersBefore(request: ExpressRequest, middleware: unknown): unknown[] {
  const handles = stackOf(request.app).map(({ handle }) => handle)
  return handles.slice(0, Math.max(0, handles.indexOf(middleware)))
}

/**
 * The routers or applications of a layer. `app.use` hides an application in a closure of the name {@link mountedApp}: it is
 * one of the known applications whose parent has the layer. A router does not hide an application.
 *
 * @param known - applications that the request went through
 */
export function routersBelow(router: unknown, layer: Layer, known: readonly App[]): readonly unknown[] {
  return layer.name === mountedApp ? known.filter(({ parent }) => parent === router) : [layer.handle]
}

const mountedApp = 'mounted_app'

/** Whether an application is hidden anywhere below the router. */
export function hidesApps(router: unknown): boolean {
  return someLayer(router, [], ({ name }) => name === mountedApp)
}

/**
 * Whether the test holds for a layer of the router, or below it.
 *
 * @param seen - routers that were looked at: one may be mounted below itself
 */
function someLayer(
  router: unknown,
  apps: readonly App[],
  test: (layer: Layer) => boolean,
  seen: Set<unknown> = new Set(),
): boolean {
  if (seen.has(router)) return false
  seen.add(router)
  return stackOf(router).some(
    (layer) => test(layer) || routersBelow(router, layer, apps).some((inner) => someLayer(inner, apps, test, seen)),
  )
}

export function stackOf(router: unknown): readonly Layer[] {
  if (typeof router !== 'function') return []
  const { stack } = router as { stack?: readonly Layer[] }
  // Applications of Connect, such as Vite's, have a stack too, but of other layers.
  if (stack !== undefined) return typeof stack[0]?.match === 'function' ? stack : []
  // Express 4 has `lazyrouter`, and there reading `app.router` throws.
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

/** What a mount leaves of a path. */
export function restOf(path: string, { matched }: Mount): string {
  const rest = path.slice(matched.length)
  return rest.startsWith('/') ? rest : `/${rest}`
}

export function mountOf(layer: Layer, path: string): Mount | undefined {
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

export function matched(layer: Layer, path: string): ReturnType<Layer['match']> | undefined {
  try {
    return layer.match(path) || undefined
  } catch {
    return undefined // a path that cannot be decoded
  }
}

/** How `path-to-regexp` ends the expression that it makes of a mount path. */
const endOfMount = '(?=\\/|$)'

/** Express 4: replaces what the groups of the mount's expression matched by the names of the groups. */
function namesForSpans(path: string, part: string, regexp: RegExp, keys: NonNullable<Layer['keys']>): string {
  // For the user's own expression, return its source: what it matched is a part of the URL.
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
 * Router 2.0 to 2.2 keeps no pattern, only the values of the parameters: they are replaced by their names. All other
 * segments must be fixed, which is tested by asking the layer for another path. A part of the URL is never put into the
 * pattern.
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

export function literal(path: Path): string {
  if (path instanceof RegExp) return path.source
  return typeof path === 'string' ? path : path.map(literal).join('|')
}

/** The paths that a middleware would see of a request; `undefined` when it is in no router that the application shows. */
export function pathsAt(request: ExpressRequest, middleware: unknown): readonly string[] | undefined {
  const apps = appsOf(request)
  const isWithin = someLayer(apps[0], apps, ({ handle }) => handle === middleware)
  return isWithin ? [...pathsBelow(apps[0], apps, pathOf(request), middleware)] : undefined
}

function* pathsBelow(router: unknown, apps: readonly App[], path: string, middleware: unknown): Generator<string> {
  for (const layer of stackOf(router)) {
    const isIt = layer.handle === middleware
    const below = routersBelow(router, layer, apps).filter((inner) => stackOf(inner).length > 0)
    const mount = isIt || below.length > 0 ? mountOf(layer, path) : undefined
    if (mount === undefined) continue
    if (isIt) yield restOf(path, mount)
    else for (const inner of below) yield* pathsBelow(inner, apps, restOf(path, mount), middleware)
  }
}
