import type { Http2Server } from 'node:http2'
import fastify, {
  type FastifyBaseLogger,
  type FastifyRequest,
  type FastifyTypeProvider,
  type RouteGenericInterface,
} from 'fastify'
import { createCache, PerformanceMonitor } from 'posthaste'
import * as onFastify from 'posthaste/fastify'
import { it } from 'vitest'

interface OwnLogger extends FastifyBaseLogger {
  audit(message: string): void
}
interface OwnProvider extends FastifyTypeProvider {
  validator: this['schema']
  serializer: this['schema']
}
declare const loggerInstance: OwnLogger

const cache = createCache({ profiles: { users: '5m' } })
const monitor = new PerformanceMonitor()
const apps = {
  usual: () => fastify(),
  ownLogger: () => fastify({ loggerInstance }),
  typed: () => fastify().withTypeProvider<OwnProvider>(),
  http2: () => fastify({ http2: true }),
  https: () => fastify({ https: {} }),
}

it('takes the error handler on any server, with any logger and type provider', () => {
  apps.usual().setErrorHandler(onFastify.answerErrors())
  apps.ownLogger().setErrorHandler(onFastify.answerErrors())
  apps.typed().setErrorHandler(onFastify.answerErrors())
  apps.http2().setErrorHandler(onFastify.answerErrors())
  apps.https().setErrorHandler(onFastify.answerErrors())
  apps.http2().setErrorHandler(async (error, request, reply) => onFastify.answerErrors()(error, request, reply))
})

it('takes the hooks of freshness in the options of a route on any server, with any logger and type provider', () => {
  const hooks = onFastify.freshness(cache, { key: (request) => [request.ip] })
  apps.usual().get('/', { ...hooks }, async () => 1)
  apps.ownLogger().get('/', { ...hooks }, async () => 1)
  apps.typed().get('/', { ...hooks }, async () => 1)
  apps.http2().get('/', { ...hooks }, async () => 1)
  apps.https().get('/', { ...hooks }, async () => 1)
  apps.http2().get('/', { preHandler: [hooks.preHandler], onSend: [hooks.onSend] }, async () => 1)
  onFastify.freshness(cache, {
    key: (request: FastifyRequest<RouteGenericInterface, Http2Server>) => [request.raw.stream.id],
  })
  // @ts-expect-error -- the request is Fastify's, not Node's
  onFastify.freshness(cache, { key: (request) => [request.socketOfNode] })
})

it('registers the plugins on any server, with any logger and type provider', () => {
  const { monitorRequests, shedLoad, performanceRoutes, cacheResponses, compressResponses, freshness } = onFastify
  const authorize = (request: FastifyRequest) => request.ip === '127.0.0.1'
  const label = (request: FastifyRequest) => request.url
  const usual = apps.usual()
  usual.register(monitorRequests, { monitor, label }).register(shedLoad, { monitor })
  usual.register(performanceRoutes, { monitor, authorize }).register(compressResponses, {})
  usual.register(cacheResponses, { cache }).register(freshness, { cache })
  const logged = apps.ownLogger()
  logged.register(monitorRequests, { monitor, label }).register(shedLoad, { monitor })
  logged.register(performanceRoutes, { monitor, authorize }).register(compressResponses, {})
  logged.register(cacheResponses, { cache }).register(freshness, { cache })
  const typed = apps.typed()
  typed.register(monitorRequests, { monitor, label }).register(shedLoad, { monitor })
  typed.register(performanceRoutes, { monitor, authorize }).register(compressResponses, {})
  typed.register(cacheResponses, { cache }).register(freshness, { cache })
  const http2 = apps.http2()
  http2.register(monitorRequests, { monitor, label }).register(shedLoad, { monitor })
  http2.register(performanceRoutes, { monitor, authorize }).register(compressResponses, {})
  http2.register(cacheResponses, { cache }).register(freshness, { cache })
})
