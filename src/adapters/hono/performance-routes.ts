import type { Context, MiddlewareHandler } from 'hono'
import { markMayPrecedeGuard } from '../../http/admission/load-guard.ts'
import type { HttpAnswer, HttpRequest } from '../../http/answer.ts'
import { wrongFramework } from '../../http/expect-call.ts'
import { closeIfDraining } from '../../http/measure-request.ts'
import { rememberRoutes } from '../../http/performance/own-paths.ts'
import {
  createPerformanceRoutes,
  findHandler,
  type PerformanceRoutesOptions,
} from '../../http/performance/performance-routes.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import { answerByNext, nodeBindings, toHttpRequest } from './context.ts'

const loadPage = () => import('../../dashboard/page.ts')

/**
 * Serves the live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, and `GET /health` with the
 * checks below it, at these absolute paths. Requests to them do not enter the statistics.
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
  const routes = createPerformanceRoutes(monitor, options, loadPage)
  // Not async, because all other requests pass through it.
  const middleware: MiddlewareHandler = (c, next) => {
    if (typeof next !== 'function') throw wrongFramework('performanceRoutes', 'hono')
    const { method, path } = c.req
    const handle = findHandler(routes, method, path)
    if (handle === undefined) return answerByNext(next)
    if (!monitor.ignores(method, path)) monitor.setRoute(c, null)
    const { incoming, outgoing } = nodeBindings(c)
    closeIfDraining(monitor, outgoing)
    noteMount(mountOf(path, incoming?.url))
    return answerWith(c, handle)
  }
  const noteMount = rememberRoutes(monitor, routes, middleware)
  return markMayPrecedeGuard(middleware)
}

/** The part of the URL that `app.mount` of another application has removed. */
function mountOf(path: string, url = ''): string {
  const whole = url.split('?', 1)[0] as string
  return whole.startsWith('/') && whole.endsWith(path) ? whole.slice(0, whole.length - path.length) : ''
}

async function answerWith(c: Context, handle: (request: HttpRequest) => Promise<HttpAnswer>): Promise<Response> {
  const { method } = c.req
  const { status, headers, body } = await handle(toHttpRequest(c))
  const content = typeof body === 'string' ? body : ReadableStream.from(body).pipeThrough(new TextEncoderStream())
  const response = new Response(method === 'HEAD' ? null : content, { status, headers })
  if (policyHeader in headers) keepPolicy(response.headers)
  return response
}

const policyHeader = 'content-security-policy'

/**
 * Keeps the page's own policy, because the page needs its nonce. Middleware such as `secureHeaders` replaces headers after
 * the answer.
 */
function keepPolicy(headers: Headers): void {
  const set = headers.set.bind(headers)
  Object.defineProperty(headers, 'set', {
    value: (name: string, value: string) => {
      if (name.toLowerCase() !== policyHeader) set(name, value)
    },
  })
}
