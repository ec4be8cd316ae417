import type { Context, MiddlewareHandler } from 'hono'
import { openRequestScope } from '../../database/n-plus-one/query-scope.ts'
import { markMayPrecedeGuard } from '../../http/admission/load-guard.ts'
import { wrongFramework } from '../../http/expect-call.ts'
import {
  clientLeft,
  createRequestMeasure,
  expectMonitorRequests,
  labelOption,
  type MonitorRequestsOptions,
  routeLabel,
  runInScope,
  type ScopeSettings,
  scopeSettings,
} from '../../http/measure-request.ts'
import { serverTimingOf } from '../../http/server-timing.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import type { Outcome } from '../../monitor/types.ts'
import { answerByNext, nodeBindings, patternOf, toHttpRequest } from './context.ts'

/**
 * Measures every request under the pattern of its route: on Node until its response closes; in other runtimes, and in
 * `app.request()`, until the headers of its answer are ready. Use it first.
 *
 * @example
 * ```ts
 * app.use(monitorRequests(monitor))
 * ```
 */
export function monitorRequests(
  monitor: PerformanceMonitor,
  options: MonitorRequestsOptions<Context> = {},
): MiddlewareHandler {
  expectMonitorRequests(monitor, options)
  const labelOf = labelOption(options.label, patternOf)
  const settings = scopeSettings(monitor, options)
  const measure = createRequestMeasure(monitor, openRequestScope, settings)
  // An async function would be another promise for each request, and `c.req.header` copies all headers: a quarter of the cost.
  return markMayPrecedeGuard((c, next) => {
    if (typeof next !== 'function') throw wrongFramework('monitorRequests', 'hono')
    const { method, path } = c.req
    if (monitor.ignores(method, path)) return answerByNext(next)
    const { incoming, outgoing } = nodeBindings(c)
    if (outgoing === undefined) return measureUntilAnswered(monitor, c, next, labelOf, settings)
    const scope = measure(method, incoming, outgoing, c, labelOf)
    return runInScope(scope, () => answerByNext(next))
  })
}

/** Without a response of Node's, the end of an answer is unknown: measures until its headers are ready. */
async function measureUntilAnswered(
  monitor: PerformanceMonitor,
  c: Context,
  next: () => Promise<void>,
  labelOf: (c: Context, status: number) => string,
  { deadlineMs, maySeeTiming }: ScopeSettings,
): Promise<void> {
  const { method } = c.req
  // Aborted when the client leaves. Deno's does so only if it was read before.
  const { signal } = c.req.raw
  const startedAt = monitor.start({
    original: c,
    method,
    isLongLived: false,
    get route() {
      return routeLabel(monitor, c, labelOf, 200)
    },
  })
  const scope = openRequestScope(() => `${method} ${routeLabel(monitor, c, labelOf, 200)}`)
  const request = scope?.request
  if (deadlineMs !== undefined) request?.setDeadline(deadlineMs)
  const asked = request && maySeeTiming?.(toHttpRequest(c))
  let isEnded = false
  const end = (status: number, outcome: Outcome) => {
    if (isEnded) return
    isEnded = true
    request?.end()
    const label = routeLabel(monitor, c, labelOf, status)
    monitor.record(method, label, status, startedAt, outcome, () => c.req.header('traceparent'), request?.waits)
    scope?.end()
  }
  // At once, because Workers stops the handler then.
  const onAbort = () => {
    request?.abandon(clientLeft())
    end(499, 'aborted')
  }
  signal.addEventListener('abort', onAbort, { once: true })
  let status = 500
  let outcome: Outcome = 'completed'
  try {
    await runInScope(scope, next)
    // Hono answers with an error when no handler has answered.
    if (c.finalized) status = c.res.status
    // The WebSocket helpers of other runtimes give middleware the answer of a plain request.
    if (c.req.header('upgrade') !== undefined && status < 400) outcome = 'upgrade'
    else if (c.res.headers.get('content-type')?.startsWith('text/event-stream')) outcome = 'stream'
    if (request !== undefined && (await asked)) c.header('server-timing', serverTimingOf(request), { append: true })
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else end(status, outcome)
  }
}
