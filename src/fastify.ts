import { pipeline, Readable } from 'node:stream'
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { openQueryScope, type QueryScope } from './database/query-scope.ts'
import type { Authorize } from './http/authorize.ts'
import { type CompressOptions, type Compressor, createCompressor } from './http/compressor.ts'
import type { EncodedHead } from './http/encoding-plan.ts'
import { outcomeOf } from './http/outcome.ts'
import { createPerformanceRoutes, type PerformanceRoutesOptions } from './http/performance.ts'
import { type SavingsReport, savingsOf } from './http/savings.ts'
import type { PerformanceMonitor } from './monitor/monitor.ts'
import { problemDetails } from './shared/errors.ts'

export type { Authorize, CompressOptions, SavingsReport }

/** What a route may say to {@link monitorRequests} in its `config`. */
export interface RouteMonitorConfig {
  /** The label of the route, instead of its pattern. */
  readonly route?: string | undefined
}

const scopeKey: unique symbol = Symbol('posthaste.queryScope')

declare module 'fastify' {
  interface FastifyRequest {
    [scopeKey]?: QueryScope
  }
  interface FastifyContextConfig {
    /** `false` keeps the route out of the statistics. */
    monitor?: false | RouteMonitorConfig
    /** `false` leaves the answers of the route as they are. */
    compress?: false
  }
}

/** Options of the plugin {@link monitorRequests}. */
export interface MonitorRequestsOptions {
  readonly monitor: PerformanceMonitor
}

/** Options of the plugin {@link compressResponses}. */
export interface CompressResponsesOptions extends CompressOptions {
  /** Shows what was saved, by route, in its stats document under `additions.compression`. */
  readonly monitor?: SavingsReport | undefined
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
    app.decorateRequest(scopeKey)
    app.addHook('onRequest', (request, reply, next) => {
      const { config, url } = request.routeOptions
      const { monitor: own } = config
      if (own === false || monitor.ignores(request.method, pathOf(request))) return next()
      const startedAt = monitor.start()
      const label = () => {
        const named = monitor.routeOf(request)
        return named === undefined ? (own?.route ?? url ?? '(unmatched)') : named
      }
      const scope = openQueryScope(() => `${request.method} ${label()}`)
      request[scopeKey] = scope
      const { raw } = reply
      raw.on('close', () => {
        const outcome = outcomeOf(request.raw, raw)
        const status = outcome === 'aborted' ? 499 : raw.statusCode
        monitor.record(request.method, label(), status, startedAt, outcome, first(request.headers.traceparent))
        scope.end()
      })
      scope.run(next)
    })
    // Reading a body goes on from the socket's events, which know nothing of the scope.
    app.addHook('preValidation', (request, _reply, next) => {
      const scope = request[scopeKey]
      if (scope === undefined || request.body === undefined) next()
      else scope.run(next)
    })
    done()
  },
)

const loadPage = () => import('./dashboard/page.ts')

/**
 * The live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, `GET /health` and its kin, whatever
 * prefix the plugin is registered under. They do not enter the statistics.
 *
 * @example
 * ```ts
 * await app.register(performanceRoutes, { monitor, authorize: { bearer: token } })
 * ```
 */
export const performanceRoutes: FastifyPluginCallback<FastifyPerformanceRoutesOptions> = plugin(
  'performanceRoutes',
  (app, { monitor, ...options }, done) => {
    for (const [path, handle] of createPerformanceRoutes(monitor, options, { loadPage })) {
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
 * Compresses answers, whole ones and streams, by what the client accepts; not those of routes with `compress: false` in their
 * `config`.
 *
 * @example
 * ```ts
 * await app.register(compressResponses, {})
 * app.get('/token', { config: { compress: false } }, sendToken)
 * ```
 */
export const compressResponses: FastifyPluginCallback<CompressResponsesOptions> = plugin(
  'compressResponses',
  (app, { monitor, ...options }, done) => {
    const compressor = createCompressor(options)
    const save = monitor && savingsOf(monitor)
    app.addHook('onSend', async (request, reply, payload) => {
      const { config, url } = request.routeOptions
      if (config.compress === false) return payload
      return compressPayload(compressor, request, reply, payload, (rawBytes, sentBytes) =>
        save?.(request.method, url ?? '(unmatched)', rawBytes, sentBytes),
      )
    })
    done()
  },
)

/** The payload to send instead, its headers set. */
async function compressPayload(
  compressor: Compressor,
  request: FastifyRequest,
  reply: FastifyReply,
  given: unknown,
  onEncoded: (rawBytes: number, sentBytes: number) => void,
): Promise<unknown> {
  const payload = given instanceof Response ? unwrap(given, reply) : given
  const head = {
    method: request.method,
    acceptEncoding: first(request.headers['accept-encoding']),
    status: reply.statusCode,
    header: (name: string) => reply.getHeader(name) as string | undefined,
  }
  if (!isStream(payload)) {
    const body = typeof payload === 'string' || payload instanceof Uint8Array ? payload : ''
    const encoded = await compressor.body(body, head)
    changeHead(reply, encoded)
    if (encoded.encoding !== 'identity') onEncoded(Buffer.byteLength(body), encoded.body.length)
    // Fastify would tell the length of a text, and it is not the one that GET tells.
    if (encoded.skipped === 'method') return Readable.from([])
    return encoded.encoding === 'identity' ? payload : encoded.body
  }
  const { encoder, ...changes } = compressor.stream(head, onEncoded)
  changeHead(reply, changes)
  if (encoder === undefined) return payload
  const source = payload instanceof ReadableStream ? Readable.fromWeb(payload as never) : payload
  return pipeline(source, encoder, () => {})
}

/** As Fastify does it, after its hooks. */
function unwrap({ status, headers, body }: Response, reply: FastifyReply): unknown {
  reply.code(status)
  for (const [name, value] of headers) reply.header(name, value)
  return body
}

function changeHead(reply: FastifyReply, { set, remove }: EncodedHead): void {
  for (const name of remove) reply.removeHeader(name)
  reply.headers(set)
}

function isStream(payload: unknown): payload is NodeJS.ReadableStream {
  return payload instanceof ReadableStream || typeof (payload as Readable | null)?.pipe === 'function'
}

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
