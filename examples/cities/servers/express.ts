import type { AddressInfo } from 'node:net'
import express from 'express'
import {
  answerErrors,
  cacheResponses,
  compressResponses,
  monitorRequests,
  performanceRoutes,
  shedLoad,
} from 'posthaste/express'
import type { CitiesApp } from '../cities.ts'
import type { RunningServer } from './running.ts'

export async function serve(cities: CitiesApp, port: number): Promise<RunningServer> {
  const app = express()
  app.use(monitorRequests(cities.monitor))
  app.use(shedLoad(cities.monitor))
  app.use(compressResponses({ monitor: cities.monitor }))
  app.use(performanceRoutes(cities.monitor))
  app.use(express.json({ strict: false }))

  app.get('/cities', async (request, response) => {
    response.json(await cities.list(request.query))
  })
  app.get('/cities/:id', async (request, response) => {
    answer(response, await cities.find(request.params.id))
  })
  app.get(
    '/countries',
    cacheResponses(cities.cache, { profile: 'countries', tags: ['cities'] }),
    async (_request, response) => {
      response.json(await cities.countries())
    },
  )
  app.get('/countries/largest', async (_request, response) => {
    response.json(await cities.largest())
  })
  app.post('/cities/:id', async (request, response) => {
    answer(response, await cities.update(request.params.id, request.body))
  })
  app.use(answerErrors())

  const server = app.listen(port)
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      server.closeAllConnections()
      await closed
    },
  }
}

function answer(response: express.Response, city: unknown): void {
  if (city === undefined)
    response.status(404).json({ title: 'Not Found', status: 404, detail: 'There is no city with this id' })
  else response.json(city)
}
