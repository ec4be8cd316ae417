import { LoadGuard } from '../../http/admission/load-guard.ts'
import { sendRefusal } from '../../http/admission/refusal.ts'
import type { ShedOptions } from '../../http/admission/shed-options.ts'
import { expectMonitor, wrongFramework } from '../../http/expect-call.ts'
import { type ExpressRequest, handlersBefore, pathOf, pathsAt } from '../../http/express-tree.ts'
import { isPerformancePath } from '../../http/performance/own-paths.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import type { Middleware } from './middleware.ts'

/**
 * Turns requests away, with 503 and `Retry-After`, when the server has more of them than it can serve, so that those it accepts
 * are answered in time. Use it right after {@link monitorRequests}, and before all else.
 *
 * @throws TypeError or RangeError for a wrong option; TypeError without `monitorRequests` of the same monitor before it
 *
 * @example
 * ```ts
 * app.use(monitorRequests(monitor))
 * app.use(shedLoad(monitor))
 * ```
 */
export function shedLoad<Request extends ExpressRequest = ExpressRequest>(
  monitor: PerformanceMonitor,
  options: ShedOptions<Request> = {},
): Middleware<Request> {
  expectMonitor(monitor)
  const guard = new LoadGuard(monitor, options)
  let isPlaceKnown = false
  const middleware: Middleware<Request> = (request, response, next) => {
    if (typeof next !== 'function') throw wrongFramework('shedLoad', 'express')
    if (!isPlaceKnown) {
      isPlaceKnown = true
      guard.checkOrder(handlersBefore(request, middleware))
    }
    const { method, originalUrl } = request
    if (guard.admits(method, originalUrl, response)) return next()
    if (isPerformancePath(monitor, pathOf(request), (own) => pathsAt(request, own))) return next()
    guard.hold({
      request,
      response,
      original: request,
      run: next,
      refuse: (seconds) => sendRefusal(response, seconds),
      drop: () => {},
    })
  }
  return middleware
}
