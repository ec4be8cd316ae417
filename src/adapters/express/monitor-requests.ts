import { openRequestScope } from '../../database/n-plus-one/query-scope.ts'
import { markMayPrecedeGuard } from '../../http/admission/load-guard.ts'
import { isBackground } from '../../http/background-request.ts'
import { expectExpress } from '../../http/expect-call.ts'
import { createExpressLabels, watchRoute } from '../../http/express-labels.ts'
import type { ExpressRequest } from '../../http/express-tree.ts'
import {
  createRequestMeasure,
  expectMonitorRequests,
  labelOption,
  type MonitorRequestsOptions,
  runInScope,
  scopeSettings,
} from '../../http/measure-request.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import type { Middleware } from './middleware.ts'

/**
 * Measures every request, from this middleware to the close of its response, under the pattern of its route. Use it first.
 *
 * @throws TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * app.use(monitorRequests(monitor))
 * ```
 */
export function monitorRequests<Request extends ExpressRequest = ExpressRequest>(
  monitor: PerformanceMonitor,
  options: MonitorRequestsOptions<Request> = {},
): Middleware<Request> {
  expectMonitorRequests(monitor, options)
  const labelOf = labelOption(options.label, createExpressLabels())
  const measure = createRequestMeasure(monitor, openRequestScope, scopeSettings(monitor, options))
  return markMayPrecedeGuard((request, response, next) => {
    expectExpress('monitorRequests', request, next)
    const { method, path } = request
    if (monitor.ignores(method, path)) return next()
    watchRoute(request)
    const scope = measure(method, request, response, request, labelOf)
    if (isBackground(request)) monitor.setRoute(request, null)
    runInScope(scope, next)
  })
}
