import express, { type Request, type Response } from 'express'
import express4, { type Request as Request4, type Response as Response4 } from 'express4'
import { createCache, PerformanceMonitor } from 'posthaste'
import {
  answerErrors,
  cacheResponses,
  compressResponses,
  freshness,
  monitorRequests,
  performanceRoutes,
  shedLoad,
} from 'posthaste/express'
import { it } from 'vitest'

const cache = createCache({ profiles: { users: '5m' } })
const monitor = new PerformanceMonitor()

it("takes functions of Express's own request and response, of Express 5 and 4", () => {
  const app = express()
  app.use(monitorRequests(monitor, { label: (request: Request) => request.ip }))
  app.use(shedLoad(monitor, { priority: (request: Request) => (request.ip === '::1' ? 'low' : 'normal') }))
  app.use(compressResponses({ filter: (request: Request, response: Response) => response.locals.raw !== request.ip }))
  app.use(performanceRoutes(monitor, { authorize: (request: Request) => request.ip === '::1' }))
  app.get('/users', cacheResponses(cache, { key: (request: Request) => [request.ip] }))
  app.get('/users', freshness(cache, { key: (request: Request) => [request.ip] }))
  app.use(answerErrors())
  const old = express4()
  old.use(monitorRequests(monitor, { label: (request: Request4) => request.ip }))
  old.use(compressResponses({ filter: (_request: Request4, response: Response4) => response.locals.raw !== true }))
  old.use(compressResponses({ filter: (request, response) => response.hasHeader(request.path) }))
  old.use(compressResponses()).use(answerErrors())
})

it('keeps the types of the handlers after it', () => {
  const app = express()
  app.get('/a/:id', cacheResponses(cache), compressResponses(false), (request, response) => {
    response.json(request.params.id.length)
  })
  app.get('/b/:id', freshness(cache), compressResponses({ types: () => true }), (request, response) => {
    response.json(request.params.id.length)
  })
})
