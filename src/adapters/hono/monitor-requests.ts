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
  // Neither an async function, which adds a promise to each request, nor `c.req.header`, which copies all headers: both
  // together are a quarter of the cost.
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

/** Measures until the headers of the answer are ready: without a response of Node's, its end is unknown. */
async function measureUntilAnswered(
  monitor: PerformanceMonitor,
  c: Context,
  next: () => Promise<void>,
  labelOf: (c: Context, status: number) => string,
  { deadlineMs, maySeeTiming }: ScopeSettings,
): Promise<void> {
  const { method } = c.req
  // The signal is aborted when the client leaves. Deno aborts it only if it was read before.
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
  // Ends the measurement at once, because Workers stops the handler then.
  const onAbort = () => {
    request?.abandon(clientLeft())
    end(499, 'aborted')
  }
  signal.addEventListener('abort', onAbort, { once: true })
  let status = 500
  let outcome: Outcome = 'completed'
  try {
    await runInScope(scope, next)
    // When no handler has answered, the status stays 500, because Hono answers with an error.
    if (c.finalized) status = c.res.status
    // In other runtimes, the WebSocket helpers show middleware the answer of a plain request, without status 101.
    if (c.req.header('upgrade') !== undefined && status < 400) outcome = 'upgrade'
    else if (c.res.headers.get('content-type')?.startsWith('text/event-stream')) outcome = 'stream'
    if (request !== undefined && (await asked)) c.header('server-timing', serverTimingOf(request), { append: true })
  } finally {
    signal.removeEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    else end(status, outcome)
  }
}
