import type { FastifyPluginCallback, FastifyRequest } from 'fastify'
import { LoadGuard } from '../../http/admission/load-guard.ts'
import { sendRefusal } from '../../http/admission/refusal.ts'
import type { ShedOptions } from '../../http/admission/shed-options.ts'
import { expectMonitor } from '../../http/expect-call.ts'
import type { PerformanceMonitor } from '../../monitor/monitor.ts'
import { hooksOf } from './hooks-of.ts'
import { plugin } from './plugin.ts'

/** Options of the plugin {@link shedLoad}. */
export interface ShedLoadOptions extends ShedOptions<FastifyRequest> {
  readonly monitor: PerformanceMonitor
}

/**
 * Turns requests away, with 503 and `Retry-After`, when the server has more of them than it can serve, so that those it accepts
 * are answered in time. Register it right after {@link monitorRequests}, and before all else. Routes with `monitor: false` in
 * their `config` are always served.
 *
 * @example
 * ```ts
 * await app.register(monitorRequests, { monitor })
 * await app.register(shedLoad, { monitor })
 * ```
 */
export const shedLoad: FastifyPluginCallback<ShedLoadOptions> = plugin(
  'shedLoad',
  (app, { monitor, ...options }, done) => {
    expectMonitor(monitor)
    const guard = new LoadGuard<FastifyRequest>(monitor, options)
    guard.checkOrder(hooksOf(app, 'onRequest') ?? [])
    app.addHook('onRequest', (original, reply, run) => {
      const { raw: request } = original
      const { raw: response } = reply
      if (original.routeOptions.config.monitor === false || guard.admits(original.method, original.url, response))
        return run()
      guard.hold({
        request,
        response,
        original,
        run,
        refuse: (seconds) => sendRefusal(reply.hijack().raw, seconds),
        drop: () => reply.hijack(),
      })
    })
    done()
  },
)
