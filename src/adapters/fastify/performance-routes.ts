import { Readable } from 'node:stream'
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { readHttpRequest } from '../../http/answer.ts'
import { closeIfDraining } from '../../http/measure-request.ts'
import { rememberRoutes } from '../../http/performance/own-paths.ts'
import {
  createPerformanceRoutes,
  type PerformanceRoutesOptions,
  refuseMethod,
} from '../../http/performance/performance-routes.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import { plugin } from './plugin.ts'

/** Options of the plugin {@link performanceRoutes}. */
export interface FastifyPerformanceRoutesOptions extends PerformanceRoutesOptions<FastifyRequest> {
  readonly monitor: PerformanceMonitor
}

const loadPage = () => import('../../dashboard/page.ts')

/**
 * Serves the live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, and `GET /health` with the
 * checks below it. The option `prefix` of `register` does not move them. Requests to them do not enter the statistics.
 *
 * @example
 * ```ts
 * await app.register(performanceRoutes, { monitor, authorize: { bearer: token } })
 * ```
 */
export const performanceRoutes: FastifyPluginCallback<FastifyPerformanceRoutesOptions> = plugin(
  'performanceRoutes',
  (app, { monitor, ...options }, done) => {
    const config = { monitor: false } as const
    const routes = createPerformanceRoutes(monitor, options, loadPage)
    rememberRoutes(monitor, routes)
    for (const [path, handle] of routes) {
      const serve = (url: string) => {
        app.get(url, { config, exposeHeadRoute: true }, async (request, reply) => {
          closeIfDraining(monitor, reply.raw)
          const { status, headers, body } = await handle(readHttpRequest(request, request.url, path))
          const payload = typeof body === 'string' ? body : Readable.from(body)
          return reply.code(status).headers(headers).send(payload)
        })
        if (url === '/') return
        // In a hook, because the body of a refused request need not be parsed.
        const refuse = async (request: FastifyRequest, reply: FastifyReply) => {
          const { status, headers, body } = refuseMethod(request.method)
          return reply.code(status).headers(headers).send(body)
        }
        app.route({ method: ['POST', 'PUT', 'PATCH', 'DELETE'], url, config, onRequest: refuse, handler: refuse })
      }
      serve(path)
      if (path !== '/') {
        try {
          serve(`${path}/`)
        } catch (error) {
          // With the option `ignoreTrailingSlash`, the path with a slash exists already.
          if ((error as { code?: unknown }).code !== 'FST_ERR_DUPLICATED_ROUTE') throw error
        }
      }
    }
    done()
  },
)
