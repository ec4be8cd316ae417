import {
  type App,
  appsOf,
  type ExpressRequest,
  hidesApps,
  joinPaths,
  type Layer,
  literal,
  matched,
  mountOf,
  outermost,
  pathOf,
  type Route,
  restOf,
  routersBelow,
  stackOf,
} from './express-tree.ts'
import { unmatched } from './measure-request.ts'

/** Where a request was when its route took it. */
interface RouteSeen {
  readonly route: Route
  readonly app: unknown
  /** The mounts in front of the route, with values in place of parameters. */
  readonly baseUrl: string
}

/** The applications that a request went through, and the value of its property `next`, which every router sets. */
interface Way {
  readonly apps: Set<App>
  next: unknown
}

// One symbol for all copies of this library in a process, because they share the property `route`.
const routeSeen: unique symbol = Symbol.for('posthaste.routeSeen') as never
const firstApp: unique symbol = Symbol('posthaste.firstApp')
const wayOf: unique symbol = Symbol('posthaste.way')

type WatchedRequest = ExpressRequest & {
  [routeSeen]?: RouteSeen | undefined
  [firstApp]?: unknown
  [wayOf]?: Way
}

/** On the prototype of all requests: defining it on each would cost more than the rest of the measurement. */
const watchedRoute: PropertyDescriptor = {
  get(this: WatchedRequest) {
    return this[routeSeen]?.route
  },
  set(this: WatchedRequest, route: Route | undefined) {
    this[routeSeen] = route && { route, app: this.app, baseUrl: this.baseUrl ?? '' }
    this[wayOf]?.apps.add(this.app as App)
  },
  configurable: true,
  enumerable: true,
}

const watchedNext: PropertyDescriptor = {
  get(this: WatchedRequest) {
    return this[wayOf]?.next
  },
  set(this: WatchedRequest, next: unknown) {
    const way = this[wayOf] as Way
    way.next = next
    way.apps.add(this.app as App)
  },
  configurable: true,
  enumerable: true,
}

/**
 * Remembers the application and the mounts of a request when its route takes it, because an error that leaves them resets
 * both.
 */
export function watchRoute(request: ExpressRequest): void {
  if (request.route !== undefined) return
  const watched: WatchedRequest = request
  // Remember the first application: one that a middleware or a router calls does not know its parent.
  watched[firstApp] ??= request.app
  if (!('route' in request)) watchRoutesOfAll(request)
  if (watched[wayOf] !== undefined || !mayHideApps(outermost(request.app))) return
  watched[wayOf] = { apps: new Set(), next: (request as { next?: unknown }).next }
  Object.defineProperty(request, 'next', watchedNext)
}

/** Watches all requests that inherit from `express.request`, as this one does. Without Express, watches this one alone. */
function watchRoutesOfAll(request: object): void {
  let common = request
  for (;;) {
    const above: object | null = Object.getPrototypeOf(common)
    if (above === null || Object.hasOwn(above, 'constructor')) break
    common = above
  }
  if (!('route' in common)) Reflect.defineProperty(common, 'route', watchedRoute)
}

/** Whether an application hides others. Valid while the number of layers stays the same. */
const hidingByApp = new WeakMap<App, { readonly layers: number; readonly hides: boolean }>()

function mayHideApps(app: App | undefined): boolean {
  if (app === undefined) return false
  const layers = stackOf(app).length
  let known = hidingByApp.get(app)
  if (known?.layers !== layers) {
    known = { layers, hides: hidesApps(app) }
    hidingByApp.set(app, known)
  }
  return known.hides
}

/** @param baseUrl - what the mounts in front of the layer took of the path */
type Target = (layer: Layer & { readonly route: Route }, path: string, baseUrl: string) => boolean

/**
 * Finds the pattern under which a request was answered, mount paths included. Express keeps only values in `baseUrl`, but
 * the `Route` object stays the same. Its place in the tree of routers is looked for once, and remembered if there is only
 * one.
 */
export function createExpressLabels(): (request: ExpressRequest, status: number) => string {
  const labels = new WeakMap<Route, { readonly label: string; readonly apps: Way['apps'] | undefined }>()
  return (request, status) => {
    const { [routeSeen]: lastSeen, [firstApp]: first, [wayOf]: way } = request as WatchedRequest
    const route = (request.route as Route | undefined) ?? lastSeen?.route
    const seen = lastSeen?.route === route ? lastSeen : undefined
    if (route === undefined && status === 404) return unmatched
    const found = route && labels.get(route)
    if (found !== undefined && isSame(found.apps, way?.apps)) return found.label

    const last = seen ?? request
    const root = outermost(first ?? last.app)
    const apps = [...new Set([...(way?.apps ?? []), ...appsOf(last)])]
    const path = pathOf(request)
    const takenUrl = (last.baseUrl ?? '').replace(/\/$/, '')
    if (route === undefined) {
      const label = walk(root, apps, path, wanted(request.method), '')
      // Or a middleware that is mounted under a path has answered, such as `express.static` or a GraphQL server.
      return label ?? ((takenUrl !== '' && mountsOf(root, apps, path, takenUrl)) || unmatched)
    }
    // The route was set in front of the monitor, or by an application of another copy of Express.
    if (seen === undefined) watchRoutesOfAll(request)
    const isTarget: Target = (layer, _path, baseUrl) => layer.route === route && baseUrl === takenUrl
    const isItsRoute: Target = (layer) => layer.route === route
    const label =
      walk(root, apps, path, isTarget, '') ??
      walk(outermost(last.app), apps, path, isTarget, '') ??
      (seen === undefined ? walk(root, apps, path, isItsRoute, '') : undefined) ??
      // The route is not in the tree: a middleware has called its router, or its application.
      joinPaths(mountsOf(root, apps, path, takenUrl) ?? '', literal(route.path))
    if (occurrences(root, apps, route) === 1) labels.set(route, { label, apps: way?.apps })
    return label
  }
}

/** Whether the applications are the same. Below others, a route may have another place. */
function isSame(some: ReadonlySet<App> | undefined, others: ReadonlySet<App> | undefined): boolean {
  if (some === undefined || others === undefined) return some === others
  if (some.size !== others.size) return false
  for (const app of some) if (!others.has(app)) return false
  return true
}

/**
 * Selects the route that a request wanted, if a middleware has answered before it. Express answers HEAD by GET's route, and
 * OPTIONS by itself for any route.
 */
function wanted(method: string): Target {
  const name = method === 'HEAD' ? 'get' : method.toLowerCase()
  return (layer, path) => {
    const { methods } = layer.route
    return (methods[name] || methods._all || name === 'options') === true && matched(layer, path) !== undefined
  }
}

/**
 * The pattern of the first target along the path.
 *
 * @param apps - the applications that the request went through
 */
function walk(
  router: unknown,
  apps: readonly App[],
  path: string,
  isTarget: Target,
  baseUrl: string,
): string | undefined {
  for (const layer of stackOf(router)) {
    if (layer.route !== undefined) {
      if (isTarget(layer as Layer & { route: Route }, path, baseUrl)) return literal(layer.route.path)
      continue
    }
    const below = routersBelow(router, layer, apps).filter((inner) => stackOf(inner).length > 0)
    const mount = below.length === 0 ? undefined : mountOf(layer, path)
    if (mount === undefined) continue
    const base = baseUrl + mount.matched.replace(/\/$/, '')
    for (const inner of below) {
      const label = walk(inner, apps, restOf(path, mount), isTarget, base)
      if (label !== undefined) return joinPaths(mount.pattern, label)
    }
  }
  return undefined
}

/** The pattern of the mounts that took `baseUrl` of the path, with `*` for a rest that no known layer took. */
function mountsOf(router: unknown, apps: readonly App[], path: string, baseUrl: string): string | undefined {
  let partial: string | undefined
  for (const layer of stackOf(router)) {
    const mount = layer.route === undefined ? mountOf(layer, path) : undefined
    if (mount === undefined) continue
    const taken = mount.matched.replace(/\/$/, '')
    if (!`${baseUrl}/`.startsWith(`${taken}/`)) continue
    const rest = baseUrl.slice(taken.length)
    if (rest === '') return mount.pattern
    for (const inner of routersBelow(router, layer, apps)) {
      const below = mountsOf(inner, apps, path.slice(taken.length), rest)
      if (below !== undefined) return joinPaths(mount.pattern, below)
    }
    if (taken !== '') partial = joinPaths(mount.pattern, '/*')
  }
  return partial
}

/** @param around - the routers around this one. One that is mounted below itself has its routes at any number of places */
function occurrences(router: unknown, apps: readonly App[], route: Route, around: readonly unknown[] = []): number {
  if (around.includes(router)) return Number.POSITIVE_INFINITY
  let count = 0
  for (const layer of stackOf(router)) {
    if (layer.route !== undefined) count += Number(layer.route === route)
    else {
      for (const inner of routersBelow(router, layer, apps)) {
        count += occurrences(inner, apps, route, [...around, router])
      }
    }
  }
  return count
}
