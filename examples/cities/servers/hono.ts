import type { AddressInfo } from 'node:net'
import { serve as listen, type ServerType } from '@hono/node-server'
import { type Context, Hono } from 'hono'
import {
  answerErrors,
  cacheResponses,
  compressResponses,
  monitorRequests,
  performanceRoutes,
  shedLoad,
} from 'posthaste/hono'
import type { CitiesApp } from '../cities.ts'
import type { RunningServer } from './running.ts'

export async function serve(cities: CitiesApp, port: number): Promise<RunningServer> {
  const app = new Hono()
  app.use(monitorRequests(cities.monitor))
  app.use(shedLoad(cities.monitor))
  app.use(compressResponses({ monitor: cities.monitor }))
  app.use(performanceRoutes(cities.monitor))
  app.onError(answerErrors())

  app.get('/cities', async (c) => c.json(await cities.list(new URL(c.req.url).searchParams)))
  app.get('/cities/:id', async (c) => answer(c, await cities.find(c.req.param('id'))))
  app.get('/countries', cacheResponses(cities.cache, { profile: 'countries', tags: ['cities'] }), async (c) =>
    c.json(await cities.countries()),
  )
  app.get('/countries/largest', async (c) => c.json(await cities.largest()))
  app.post('/cities/:id', async (c) => answer(c, await cities.update(c.req.param('id'), await readJson(c))))

  const server = await new Promise<ServerType>((resolve, reject) => {
    const starting = listen({ fetch: app.fetch, port }, () => resolve(starting))
    starting.once('error', reject)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      if ('closeAllConnections' in server) server.closeAllConnections()
      await closed
    },
  }
}

/** The body, or `undefined` when it is no JSON; the application says what it expected. */
function readJson(c: Context): Promise<unknown> {
  return c.req.json().catch(() => undefined)
}

function answer(c: Context, city: object | undefined): Response {
  return city === undefined
    ? c.json({ title: 'Not Found', status: 404, detail: 'There is no city with this id' }, 404)
    : c.json(city)
}
