import { markMayPrecedeGuard } from '../../http/admission/load-guard.ts'
import { readHttpRequest, sendAnswer } from '../../http/answer.ts'
import { expectExpress } from '../../http/expect-call.ts'
import { type ExpressRequest, pathOf } from '../../http/express-tree.ts'
import { closeIfDraining } from '../../http/measure-request.ts'
import { rememberRoutes } from '../../http/performance/own-paths.ts'
import {
  createPerformanceRoutes,
  findHandler,
  type PerformanceRoutesOptions,
} from '../../http/performance/performance-routes.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import type { Middleware } from './middleware.ts'

const loadPage = () => import('../../dashboard/page.ts')

/**
 * Serves the live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, and `GET /health` with the
 * checks below it, relative to where it is mounted. Requests to them do not enter the statistics.
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
  const routes = createPerformanceRoutes(monitor, options, loadPage)
  const middleware: Middleware<Request> = (request, response, next) => {
    expectExpress('performanceRoutes', request, next)
    const { method, path, originalUrl, baseUrl = '' } = request
    const handle = findHandler(routes, method, path)
    if (handle === undefined) return next()
    if (!monitor.ignores(method, pathOf(request))) monitor.setRoute(request, null)
    noteMount(baseUrl)
    closeIfDraining(monitor, response)
    handle(readHttpRequest(request, originalUrl, path))
      .then((answer) => sendAnswer(response, method, answer))
      .catch(next)
  }
  const noteMount = rememberRoutes(monitor, routes, middleware)
  return markMayPrecedeGuard(middleware)
}
