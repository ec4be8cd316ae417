/** A hello-world server under one monitor, in a process of its own: `node monitored-server.ts <variant>`. */
import { createServer, type RequestListener, type Server } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { PerformanceMonitor } from 'posthaste'

/** Each as its README sets it up, its metrics at `/metrics`. */
const variants: Readonly<Record<string, () => Promise<Server>>> = {
  'Fastify, bare': () => fastify(async () => {}),
  'Fastify, posthaste': () =>
    fastify(async (app) => {
      const { monitorRequests, performanceRoutes } = await import('posthaste/fastify')
      const monitor = new PerformanceMonitor()
      await app.register(monitorRequests, { monitor })
      await app.register(performanceRoutes, { monitor, path: '/' })
    }),
  'Fastify, fastify-metrics': () =>
    fastify(async (app) => {
      const { default: metrics } = await import('fastify-metrics')
      await app.register(metrics.default, { endpoint: '/metrics' })
    }),
  'Fastify, fastify-metrics without summary': () =>
    fastify(async (app) => {
      const { default: metrics } = await import('fastify-metrics')
      await app.register(metrics.default, {
        endpoint: '/metrics',
        routeMetrics: { overrides: { summary: { name: 'unused' } }, enabled: { histogram: true, summary: false } },
      })
    }),
  'Hono, bare': () => hono(async () => {}),
  'Hono, posthaste': () =>
    hono(async (app) => {
      const { monitorRequests, performanceRoutes } = await import('posthaste/hono')
      const monitor = new PerformanceMonitor()
      app.use(monitorRequests(monitor))
      app.use(performanceRoutes(monitor, { path: '/' }))
    }),
  'Hono, @hono/prometheus': () =>
    hono(async (app) => {
      const { prometheus } = await import('@hono/prometheus')
      const { printMetrics, registerMetrics } = prometheus()
      app.use('*', registerMetrics)
      app.get('/metrics', printMetrics)
    }),
  'Hono, @hono/otel': () =>
    hono(async (app) => {
      const { httpInstrumentationMiddleware } = await import('@hono/otel')
      const { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } =
        await import('@opentelemetry/sdk-metrics')
      const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
      const reader = new PeriodicExportingMetricReader({ exporter })
      const meterProvider = new MeterProvider({ readers: [reader] })
      app.use('*', httpInstrumentationMiddleware({ serviceName: 'bench', meterProvider, disableTracing: true }))
      app.get('/metrics', async (c) => {
        await reader.forceFlush()
        return c.json(exporter.getMetrics().map(({ scopeMetrics }) => scopeMetrics))
      })
    }),
  'Express, bare': () => express(async () => {}),
  'Express, posthaste': () =>
    express(async (app) => {
      const { monitorRequests, performanceRoutes } = await import('posthaste/express')
      const monitor = new PerformanceMonitor()
      app.use(monitorRequests(monitor))
      app.use(performanceRoutes(monitor, { path: '/' }))
    }),
  'Express, swagger-stats': () =>
    express(async (app) => {
      const { swaggerStats } = await import('../peers/swagger-stats.ts')
      app.use(swaggerStats())
    }),
  'Express, express-prom-bundle': () =>
    express(async (app) => {
      const { default: bundle } = await import('express-prom-bundle')
      app.use(bundle({ includePath: true, includeMethod: true }))
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
