import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import type { Authorize } from './http/authorize.ts'
import { outcomeOf } from './http/outcome.ts'
import { createPerformanceRoutes, type PerformanceRoutesOptions } from './http/performance.ts'
import type { PerformanceMonitor } from './monitor/monitor.ts'
import { problemDetails } from './shared/errors.ts'

export type { Authorize }

/** What a route may say to {@link monitorRequests} in its `config`. */
export interface RouteMonitorConfig {
  /** The label of the route, instead of its pattern. */
  readonly route?: string | undefined
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `false` keeps the route out of the statistics. */
    monitor?: false | RouteMonitorConfig
  }
}

/** Options of the plugin {@link monitorRequests}. */
export interface MonitorRequestsOptions {
  readonly monitor: PerformanceMonitor
}

/** Options of the plugin {@link performanceRoutes}. */
export interface FastifyPerformanceRoutesOptions extends PerformanceRoutesOptions<FastifyRequest> {
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
  (app, { monitor }, done) => {
    app.addHook('onRequest', (request, reply, next) => {
      const { config, url } = request.routeOptions
      const { monitor: own } = config
      if (own === false || monitor.ignores(request.method, pathOf(request))) return next()
      const startedAt = monitor.start()
      const { raw } = reply
      raw.on('close', () => {
        const outcome = outcomeOf(request.raw, raw)
        const status = outcome === 'aborted' ? 499 : raw.statusCode
        const named = monitor.routeOf(request)
        const label = named === undefined ? (own?.route ?? url ?? '(unmatched)') : named
        monitor.record(request.method, label, status, startedAt, outcome, first(request.headers.traceparent))
      })
      next()
    })
    done()
  },
)

/**
 * `GET /performance/stats`, `GET /performance/metrics`, `GET /health` and its kin, whatever prefix the plugin is registered
 * under. They do not enter the statistics.
 *
 * @example
 * ```ts
 * await app.register(performanceRoutes, { monitor, authorize: { bearer: token } })
 * ```
 */
export const performanceRoutes: FastifyPluginCallback<FastifyPerformanceRoutesOptions> = plugin(
  'performanceRoutes',
  (app, { monitor, ...options }, done) => {
    for (const [path, handle] of createPerformanceRoutes(monitor, options)) {
      app.get(path, { config: { monitor: false } }, async (request, reply) => {
        const query = new URL(request.url, 'http://localhost').searchParams
        const header = (name: string) => first(request.headers[name])
        const { status, headers, body } = await handle({
          method: request.method,
          path,
          query,
          header,
          original: request,
        })
        return reply
          .code(status)
          .headers(headers)
          .send(typeof body === 'string' ? body : Readable.from(body))
      })
    }
    done()
  },
)

/**
 * Answers the errors that a client's input caused with 400 and a problem document (RFC 9457), and throws every other error to
 * the parent's handler.
 *
 * @example
 * ```ts
 * app.setErrorHandler(answerErrors())
 * ```
 */
export function answerErrors(): (
  this: FastifyInstance,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
) => FastifyReply {
  return (error, _request, reply) => {
    const problem = problemDetails(error)
    if (problem === undefined) throw error
    return reply.code(problem.status).headers(problem.headers).send(problem.body)
  }
}

/** A plugin whose hooks and routes belong to the instance it is registered on, and not to a scope of its own. */
function plugin<Options extends object>(
  name: string,
  callback: FastifyPluginCallback<Options>,
): FastifyPluginCallback<Options> {
  return Object.assign(callback, {
    [Symbol.for('skip-override')]: true,
    [Symbol.for('fastify.display-name')]: `posthaste.${name}`,
  })
}

function pathOf({ url }: FastifyRequest): string {
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

function first(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}
