import type { AddressInfo } from 'node:net'
import fastify from 'fastify'
import {
  answerErrors,
  cacheResponses,
  compressResponses,
  monitorRequests,
  performanceRoutes,
  shedLoad,
} from 'posthaste/fastify'
import type { CitiesApp } from '../cities.ts'
import type { RunningServer } from './running.ts'

export async function serve(cities: CitiesApp, port: number): Promise<RunningServer> {
  const app = fastify({ forceCloseConnections: true })
  await app.register(monitorRequests, { monitor: cities.monitor })
  await app.register(shedLoad, { monitor: cities.monitor })
  await app.register(compressResponses, { monitor: cities.monitor })
  await app.register(performanceRoutes, { monitor: cities.monitor })
  await app.register(cacheResponses, { cache: cities.cache })
  app.setErrorHandler(answerErrors())

  app.get('/cities', (request) => cities.list(request.query as Record<string, unknown>))
  app.get<{ Params: { id: string } }>('/cities/:id', async (request, reply) => {
    return (await cities.find(request.params.id)) ?? reply.code(404).send(notFound)
  })
  app.get('/countries', { config: { cache: { profile: 'countries', tags: ['cities'] } } }, () => cities.countries())
  app.get('/countries/largest', () => cities.largest())
  app.post<{ Params: { id: string } }>('/cities/:id', async (request, reply) => {
    return (await cities.update(request.params.id, request.body)) ?? reply.code(404).send(notFound)
  })

  await app.listen({ port })
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() }
}

const notFound = { title: 'Not Found', status: 404, detail: 'There is no city with this id' }
