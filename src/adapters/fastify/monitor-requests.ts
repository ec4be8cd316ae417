import type { FastifyPluginCallback, FastifyRequest, onRequestHookHandler } from 'fastify'
import { openRequestScope } from '../../database/n-plus-one/query-scope.ts'
import { markMayPrecedeGuard } from '../../http/admission/load-guard.ts'
import {
  createRequestMeasure,
  expectMonitorRequests,
  type MonitorRequestsOptions as LabelOptions,
  labelOption,
  runInScope,
  scopeSettings,
  unmatched,
} from '../../http/measure-request.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import { plugin } from './plugin.ts'

/** Options of the plugin {@link monitorRequests}. */
export interface MonitorRequestsOptions extends LabelOptions<FastifyRequest> {
  readonly monitor: PerformanceMonitor
}

/**
 * Measures every request to the close of its response, under the pattern of its route. Register it first.
 *
 * @example
 * ```ts
 * await app.register(monitorRequests, { monitor })
 * ```
 */
export const monitorRequests: FastifyPluginCallback<MonitorRequestsOptions> = plugin(
  'monitorRequests',
  (app, { monitor, label, deadline, serverTiming, ...others }, done) => {
    expectMonitorRequests(monitor, { label, deadline, serverTiming, ...others })
    const settings = scopeSettings(monitor, { deadline, serverTiming })
    const measure = createRequestMeasure(monitor, openRequestScope, settings)
    const labelOf = labelOption<FastifyRequest>(label, ({ routeOptions }) => {
      const { config, url } = routeOptions
      return (config.monitor || undefined)?.route ?? url ?? unmatched
    })
    app.decorateRequest(scopeKey)
    const start: onRequestHookHandler = (request, reply, next) => {
      const { method, raw } = request
      if (request.routeOptions.config.monitor === false || monitor.ignores(method, pathOf(request))) return next()
      const scope = measure(method, raw, reply.raw, request, labelOf)
      ;(request as Scoped)[scopeKey] = scope
      runInScope(scope, next)
    }
    app.addHook('onRequest', markMayPrecedeGuard(start))
    // Enter the scope again: after the body was read, the request goes on in events of the socket, which do not run in the
    // scope.
    app.addHook('preValidation', (request, _reply, next) => {
      runInScope(request.body === undefined ? undefined : (request as Scoped)[scopeKey], next)
    })
    done()
  },
)

function pathOf({ url }: FastifyRequest): string {
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

const scopeKey = Symbol('posthaste.queryScope')

// Not declared in Fastify's own request type: users who spread a request in an exported declaration could not name this
// symbol.
interface Scoped {
  [scopeKey]?: ReturnType<typeof openRequestScope>
}
