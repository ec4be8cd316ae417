/** Routes by path. */
type Routes = ReadonlyMap<string, unknown>

/** The routes of a monitor, and what is known of the middleware that serves them. */
interface OwnRoutes {
  readonly routes: Routes
  readonly middleware: object | undefined
  /** Where it was mounted when it answered. */
  readonly mounts: Set<string>
}

const ownByMonitor = new WeakMap<object, OwnRoutes[]>()

/** The most mounts that are remembered. A mount with parameters has as many paths as its clients like. */
const maxMounts = 100

/** @returns a function to be told where the middleware is mounted when it answers */
export function rememberRoutes(monitor: object, routes: Routes, middleware?: object): (mount: string) => void {
  const mounts = new Set<string>()
  ownByMonitor.set(monitor, [...(ownByMonitor.get(monitor) ?? []), { routes, middleware, mounts }])
  return (mount) => {
    if (mounts.size < maxMounts) mounts.add(mount)
  }
}

/**
 * Whether the routes of the monitor answer this path. If their middleware is in another application, which this one does not
 * show, and has answered nothing yet, the end of the path decides, so that a probe is never refused.
 *
 * @param url - the whole path, with or without a query
 * @param pathsAt - the paths that this middleware would see of the request; `undefined` where the application does not show
 *   it
 */
export function isPerformancePath(
  monitor: object,
  url: string,
  pathsAt: (middleware: object) => readonly string[] | undefined,
): boolean {
  const path = withoutSlash(url.split('?', 1)[0] as string)
  return (ownByMonitor.get(monitor) ?? []).some(({ routes, middleware, mounts }) => {
    // A quick test, which is enough for nearly all paths.
    if (![...routes.keys()].some((route) => route === '/' || path.endsWith(route))) return false
    const isRoute = (rest: string) => routes.has(withoutSlash(rest) || '/')
    const seen = middleware && pathsAt(middleware)
    if (seen !== undefined) return seen.some(isRoute)
    if (mounts.size > 0) return [...mounts].some((mount) => path.startsWith(mount) && isRoute(path.slice(mount.length)))
    return [...routes.keys()].some((route) => route !== '/' && path.endsWith(route))
  })
}

function withoutSlash(path: string): string {
  return path.replace(/(.)\/$/, '$1')
}
