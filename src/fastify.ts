import { randomUUID } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import type { FastifyInstance, FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { openRequestScope, type QueryScope } from './database/query-scope.ts'
import { type AnswerHead, addCacheStatus, putHeaders } from './http/answer-head.ts'
import type { Authorize } from './http/authorize.ts'
import { copyingStream } from './http/body-copy.ts'
import { type CachedRequest, type HandlerAnswer, unstorableReason } from './http/cache-rules.ts'
import {
  type CompressOptions,
  type Compressor,
  compressorOf,
  createCompressor,
  type OnEncoded,
} from './http/compressor.ts'
import type { EncodedHead } from './http/encoding-plan.ts'
import type { HttpCacheOptions, ResponseStore } from './http/http-cache-options.ts'
import { unmatched } from './http/labels.ts'
import { outcomeOf } from './http/outcome.ts'
import { createPerformanceRoutes, type PerformanceRoutesOptions } from './http/performance.ts'
import { headersForCache, type RequestHeaders, readHeaders } from './http/request-headers.ts'
import { createResponseCache, type Outcome, type ResponseCache } from './http/response-cache.ts'
import { type SavingsReport, savingsOf } from './http/savings.ts'
import type { CachedAnswer } from './http/stored-response.ts'
import type { PerformanceMonitor } from './monitor/monitor.ts'
import { problemDetails } from './shared/errors.ts'
import { createWarner } from './shared/warnings.ts'

export type { Authorize, CompressOptions, HttpCacheOptions, ResponseStore, SavingsReport }

/** What a route may say to {@link monitorRequests} in its `config`. */
export interface RouteMonitorConfig {
  /** The label of the route, instead of its pattern. */
  readonly route?: string | undefined
}

const scopeKey: unique symbol = Symbol('posthaste.queryScope')

declare module 'fastify' {
  interface FastifyRequest {
    [scopeKey]?: QueryScope | undefined
  }
  interface FastifyContextConfig {
    /** `false` keeps the route out of the statistics. */
    monitor?: false | RouteMonitorConfig
    /** `false` leaves the answers of the route as they are. */
    compress?: false
    /** Caches the answers of the route, with {@link cacheResponses}. */
    cache?: HttpCacheOptions<FastifyRequest>
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

/** Options of the plugin {@link cacheResponses}; those of a route go before. */
export interface CacheResponsesOptions extends HttpCacheOptions<FastifyRequest> {
  readonly cache: ResponseStore
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
        return named === undefined ? (own?.route ?? url ?? unmatched) : named
      }
      const scope = openRequestScope(() => `${request.method} ${label()}`)
      request[scopeKey] = scope
      const { raw } = reply
      raw.on('close', () => {
        const outcome = outcomeOf(request.raw, raw)
        const status = outcome === 'aborted' ? 499 : raw.statusCode
        const traceparent = () => request.headers.traceparent as string | undefined
        monitor.record(request.method, label(), status, startedAt, outcome, traceparent)
        scope?.end()
      })
      if (scope === undefined) next()
      else scope.run(next)
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
 * The live page `GET /performance`, `GET /performance/stats`, `GET /performance/metrics`, `GET /health` and its kin,
 * whatever prefix the plugin is registered under. They do not enter the statistics.
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
        const header = (name: string) => request.headers[name] as string | undefined
        const { status, headers, body } = await handle({
          method: request.method,
          path,
          query,
          header,
          original: request,
          socket: request.raw.socket,
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
      if (config.compress === false || encodedByCache.has(request)) return payload
      const onEncoded: OnEncoded | undefined =
        save && ((rawBytes, sentBytes) => save(request.method, url ?? unmatched, rawBytes, sentBytes))
      return compressPayload(compressor, request, reply, payload, onEncoded)
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
  onEncoded?: OnEncoded,
): Promise<unknown> {
  const payload = given instanceof Response ? unwrap(given, reply) : given
  const head = {
    method: request.method,
    acceptEncoding: request.headers['accept-encoding'] as string | undefined,
    status: reply.statusCode,
    header: (name: string) => reply.getHeader(name) as string | undefined,
  }
  if (!isStream(payload)) {
    const body = typeof payload === 'string' || payload instanceof Uint8Array ? payload : ''
    const encoded = await compressor.body(body, head, onEncoded)
    changeHead(reply, encoded)
    // Fastify would tell the length of a text, and it is not the one that GET tells.
    if (encoded.skipped === 'method') return Readable.from([])
    return encoded.encoding === 'identity' ? payload : encoded.body
  }
  const { encoder, ...changes } = compressor.stream(head, onEncoded)
  changeHead(reply, changes)
  if (encoder === undefined) return payload
  return pipeline(toReadable(payload), encoder, () => {})
}

/**
 * Answers routes that have `cache` in their `config` from the cache, and stores what they answer, where that is safe. Register
 * it, with `await`, before those routes: it adds itself to them, after their own `preHandler` hooks.
 *
 * @example
 * ```ts
 * await app.register(cacheResponses, { cache })
 * app.get('/users', { config: { cache: { profile: 'users', tags: ['users'], query: ['page'] } } }, listUsers)
 * ```
 */
export const cacheResponses: FastifyPluginCallback<CacheResponsesOptions> = plugin(
  'cacheResponses',
  (app, { cache, ...defaults }, done) => {
    const warn = createWarner()
    const prepared = new WeakSet<object>()
    app.addHook('onRoute', (route) => {
      const own = route.config?.cache
      if (own === undefined) return
      prepared.add(own)
      const visits = createVisits(app, createResponseCache(cache, { ...defaults, ...own }))
      route.preHandler = [...[route.preHandler ?? []].flat(), visits.preHandler]
      route.onSend = [...[route.onSend ?? []].flat(), visits.onSend]
    })
    app.addHook('onRequest', async (request) => {
      const own = request.routeOptions.config.cache
      if (own === undefined || prepared.has(own)) return
      const message = `The route ${request.routeOptions.url} is not cached: it was added before \`cacheResponses\` had loaded, which \`await app.register()\` waits for`
      warn({ code: 'CACHE_ROUTE_TOO_EARLY', message })
    })
    done()
  },
)

/** Requests whose answers the cache encodes. */
const encodedByCache = new WeakSet<FastifyRequest>()

/** Tells the requests that renew a stored answer from those of clients, who cannot know it. */
const renewalHeader = 'x-posthaste-renewal'
const renewalToken = randomUUID()

/** A handler that is at work, and who waits for what it answers. */
interface Visit {
  readonly answer: PromiseWithResolvers<HandlerAnswer>
  readonly outcome: Promise<Outcome>
}

/** The hooks of a cached route. */
function createVisits(app: FastifyInstance, responses: ResponseCache<FastifyRequest>) {
  const { maxBytes, engine } = responses.settings
  const compressor = engine && compressorOf(engine)
  const visits = new WeakMap<FastifyRequest, Visit>()

  async function detached(request: FastifyRequest): Promise<HandlerAnswer> {
    const { statusCode, rawPayload, ...injected } = await app.inject({
      method: 'GET',
      url: request.url,
      headers: { ...headersForCache(request.headers), [renewalHeader]: renewalToken },
    })
    const body = rawPayload.length > maxBytes ? undefined : rawPayload
    return { status: statusCode, headers: pairs(injected.headers), body }
  }

  async function preHandler(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> {
    if (request.headers[renewalHeader] === renewalToken) return undefined
    const answer = Promise.withResolvers<HandlerAnswer>()
    const running = Promise.withResolvers<undefined>()
    const headers = readHeaders(request.raw.headers)
    const outcome = responses.respond(describe(request, headers), {
      inPlace() {
        headers.hideConditions()
        running.resolve(undefined)
        return answer.promise
      },
      detached: () => detached(request),
    })
    const early = await Promise.race([outcome, running.promise])
    if (early === undefined) {
      outcome.catch(() => {})
      encodedByCache.add(request)
      visits.set(request, { answer, outcome })
      reply.raw.once('close', () => answer.resolve({ status: 499, headers: [], body: undefined, isAbandoned: true }))
      return undefined
    }
    if (early.kind !== 'answer') {
      note(reply, early.cacheStatus)
      return undefined
    }
    encodedByCache.add(request)
    return reply.send(putAnswer(reply, early.answer))
  }

  async function onSend(request: FastifyRequest, reply: FastifyReply, given: unknown): Promise<unknown> {
    const visit = visits.get(request)
    if (visit === undefined) return given
    visits.delete(request)
    const payload = given instanceof Response ? unwrap(given, reply) : given
    const head = { status: reply.statusCode, headers: pairs(reply.getHeaders()) }
    const pass = (body: unknown) =>
      compressor === undefined ? body : compressPayload(compressor, request, reply, body)
    if (isStream(payload)) {
      note(reply, 'posthaste; fwd=miss')
      if (unstorableReason(head, 0) !== undefined) {
        visit.answer.resolve({ ...head, body: undefined })
        return pass(payload)
      }
      const copying = copyingStream(maxBytes, (body) => visit.answer.resolve({ ...head, body }))
      return pass(pipeline(toReadable(payload), copying, () => {}))
    }
    const bytes = Buffer.from((payload as string | Buffer | null | undefined) ?? '')
    visit.answer.resolve({ ...head, body: bytes.length > maxBytes ? undefined : bytes })
    const outcome = await visit.outcome.catch((): Outcome => ({ kind: 'own', cacheStatus: 'posthaste; fwd=miss' }))
    if (outcome.kind === 'answer') return putAnswer(reply, outcome.answer)
    note(reply, outcome.cacheStatus)
    return pass(payload)
  }

  return { preHandler, onSend }
}

/** The payload of an answer, its head set. */
function putAnswer(reply: FastifyReply, { status, headers, body }: CachedAnswer): unknown {
  reply.code(status)
  putHeaders(headOf(reply), headers)
  // Of an empty stream, unlike of nothing, Fastify does not tell the length.
  return body ?? Readable.from([])
}

function describe(request: FastifyRequest, { header }: RequestHeaders): CachedRequest<FastifyRequest> {
  const { method, url } = request
  const path = pathOf(request)
  return { method, path, query: url.slice(path.length + 1), header, original: request }
}

function pairs(headers: Readonly<Record<string, unknown>>): HandlerAnswer['headers'] {
  return Object.entries(headers).map(([name, value]) => [name, String(value)] as const)
}

function note(reply: FastifyReply, cacheStatus: string): void {
  addCacheStatus(headOf(reply), cacheStatus)
}

function headOf(reply: FastifyReply): AnswerHead {
  return {
    getHeader: (name) => reply.getHeader(name),
    setHeader: (name, value) => reply.header(name, value),
    removeHeader: (name) => reply.removeHeader(name),
  }
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

function toReadable(payload: NodeJS.ReadableStream | ReadableStream): NodeJS.ReadableStream {
  return payload instanceof ReadableStream ? Readable.fromWeb(payload as never) : payload
}

function isStream(payload: unknown): payload is NodeJS.ReadableStream | ReadableStream {
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
