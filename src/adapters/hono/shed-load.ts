import type { Context, MiddlewareHandler, Next } from 'hono'
import { LoadGuard } from '../../http/admission/load-guard.ts'
import { refusalResponse } from '../../http/admission/refusal.ts'
import type { ShedOptions } from '../../http/admission/shed-options.ts'
import { expectMonitor, wrongFramework } from '../../http/expect-call.ts'
import { isPerformancePath } from '../../http/performance/own-paths.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import { answerByNext, nodeBindings } from './context.ts'

/**
 * Turns requests away, with 503 and `Retry-After`, when the server has more of them than it can serve, so that those it accepts
 * are answered in time. Use it right after {@link monitorRequests}, and before all else. It needs Node and
 * `@hono/node-server`: in other runtimes, and in `app.request()`, it lets all requests through and warns once.
 *
 * @throws TypeError or RangeError for a wrong option; TypeError without `monitorRequests` of the same monitor before it
 *
 * @example
 * ```ts
 * app.use(monitorRequests(monitor))
 * app.use(shedLoad(monitor))
 * ```
 */
export function shedLoad(monitor: PerformanceMonitor, options: ShedOptions<Context> = {}): MiddlewareHandler {
  expectMonitor(monitor)
  const guard = new LoadGuard(monitor, options)
  let isPlaceKnown = false
  return (c, next) => {
    if (typeof next !== 'function') throw wrongFramework('shedLoad', 'hono')
    const { incoming: request, outgoing: response } = nodeBindings(c)
    if (response === undefined) {
      // An upgrade has a request of Node, but no response.
      if (request === undefined) {
        monitor.warn({
          code: 'SHED_LOAD_RUNTIME',
          message: '`shedLoad` needs `@hono/node-server`: nothing is turned away',
        })
      }
      return answerByNext(next)
    }
    const { matchedRoutes, routeIndex } = c.req
    if (!isPlaceKnown) {
      isPlaceKnown = true
      guard.checkOrder(matchedRoutes.slice(0, routeIndex).map(({ handler }) => handler))
    }
    if (guard.admits(request.method as string, request.url as string, response)) return answerByNext(next)
    const { path } = c.req
    const pathsAt = (own: object) => (matchedRoutes.some(({ handler }) => handler === own) ? [path] : undefined)
    if (isPerformancePath(monitor, path, pathsAt)) return answerByNext(next)
    const refusal = new Promise<number | undefined>((resolve) => {
      const run = () => resolve(undefined)
      guard.hold({ request, response, original: c, run, refuse: resolve, drop: () => resolve(0) })
    })
    return runUnlessRefused(refusal, next)
  }
}

/** @param refusal - `undefined` when the request may run, else the seconds of `Retry-After` */
async function runUnlessRefused(refusal: Promise<number | undefined>, next: Next): Promise<Response | undefined> {
  const seconds = await refusal
  if (seconds !== undefined) return refusalResponse(seconds)
  await next()
  return undefined
}
