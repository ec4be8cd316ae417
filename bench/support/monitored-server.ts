/** A hello-world server under one monitor, in a process of its own: `node monitored-server.ts <variant>`. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { PerformanceMonitor } from 'posthaste'

const variants: Readonly<Record<string, () => Promise<Server>>> = {
  'Fastify, bare': () => fastify(async () => {}),
  'Fastify, posthaste': () =>
    fastify(async (app) => {
      const { monitorRequests } = await import('posthaste/fastify')
      await app.register(monitorRequests, { monitor: new PerformanceMonitor() })
    }),
  'Fastify, fastify-metrics': () =>
    fastify(async (app) => {
      const { default: metrics } = await import('fastify-metrics')
      // Its histogram alone: the summary it adds by default costs half as much again.
      await app.register(metrics.default, {
        defaultMetrics: { enabled: false },
        routeMetrics: { overrides: { summary: { name: 'unused' } }, enabled: { histogram: true, summary: false } },
      })
    }),
  'Hono, bare': () => hono(async () => {}),
  'Hono, posthaste': () =>
    hono(async (app) => {
      const { monitorRequests } = await import('posthaste/hono')
      app.use(monitorRequests(new PerformanceMonitor()))
    }),
  'Hono, @hono/prometheus': () =>
    hono(async (app) => {
      const { prometheus } = await import('@hono/prometheus')
      app.use('*', prometheus().registerMetrics)
    }),
  'Express, bare': () => express(async () => {}),
  'Express, posthaste': () =>
    express(async (app) => {
      const { monitorRequests } = await import('posthaste/express')
      app.use(monitorRequests(new PerformanceMonitor()))
    }),
  'Express, express-prom-bundle': () =>
    express(async (app) => {
      const { default: bundle } = await import('express-prom-bundle')
      app.use(bundle({ includePath: true, includeMethod: true, autoregister: false }))
    }),
}

async function fastify(watch: (app: import('fastify').FastifyInstance) => Promise<void>): Promise<Server> {
  const { default: create } = await import('fastify')
  const app = create()
  await watch(app)
  app.get('/users/:id', async () => ({ hello: 'world' }))
  await app.ready()
  return app.server
}

async function hono(watch: (app: import('hono').Hono) => Promise<void>): Promise<Server> {
  const { Hono } = await import('hono')
  const app = new Hono()
  await watch(app)
  app.get('/users/:id', (c) => c.json({ hello: 'world' }))
  return createServer(getRequestListener(app.fetch) as RequestListener)
}

async function express(watch: (app: import('express').Express) => Promise<void>): Promise<Server> {
  const { default: create } = await import('express')
  const app = create()
  await watch(app)
  app.get('/users/:id', (_request, response) => {
    response.json({ hello: 'world' })
  })
  return createServer(app)
}

const server = await variants[process.argv[2] ?? '']?.()
server?.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as { port: number }).port }))
process.on('message', () => process.send?.(process.cpuUsage()))
process.on('disconnect', () => process.exit())
