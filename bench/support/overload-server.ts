/** A server under one policy against overload, in a process of its own: `node overload-server.ts <framework> <policy>`. */
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { PerformanceMonitor } from 'posthaste'

const [, , framework = 'Express', policy = 'none'] = process.argv
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
const body = 'x'.repeat(2_000)

/** Holds the event loop. */
function burn(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

/** A database of so many connections, each busy for 40 ms with a query. */
const connections = 8
let free = connections
const waiting: (() => void)[] = []

async function query(): Promise<void> {
  if (free > 0) free--
  else await new Promise<void>((resolve) => waiting.push(resolve))
  await pause(40)
  const next = waiting.shift()
  if (next === undefined) free++
  else next()
}

const routes: Readonly<Record<string, () => unknown>> = {
  '/cpu': async () => {
    burn(4)
    await pause(3)
  },
  '/database': query,
  '/later': async () => {
    await pause(3)
    burn(4)
  },
  '/light': () => burn(1),
  '/stall': () => burn(300),
}

const priority = ({ headers }: IncomingMessage) => (headers['x-priority'] ?? 'normal') as 'critical' | 'normal' | 'low'
const monitor = new PerformanceMonitor()

async function express(): Promise<Server> {
  const { default: create } = await import('express')
  const app = create()
  const health = (_request: IncomingMessage, response: ServerResponse) => void response.end('ok')
  if (policy === 'posthaste') {
    const { monitorRequests, performanceRoutes, shedLoad } = await import('posthaste/express')
    app.use(monitorRequests(monitor))
    app.use(shedLoad(monitor, { priority }))
    app.use(performanceRoutes(monitor, { authorize: 'public' }))
  }
  app.get('/health/live', health)
  if (policy === 'toobusy-js') {
    const { default: toobusy } = await import('toobusy-js')
    app.use((_request, response, next) => {
      if (toobusy()) response.status(503).end()
      else next()
    })
  }
  if (policy === 'overload-protection') {
    const { default: protect } = await import('overload-protection')
    app.use(protect('express', { production: true }))
  }
  for (const [path, work] of Object.entries(routes)) {
    app.get(path, async (_request, response) => {
      await work()
      response.end(body)
    })
  }
  return createServer(app)
}

async function fastify(): Promise<Server> {
  const { default: create } = await import('fastify')
  const app = create()
  if (policy === 'posthaste') {
    const { monitorRequests, performanceRoutes, shedLoad } = await import('posthaste/fastify')
    await app.register(monitorRequests, { monitor })
    await app.register(shedLoad, { monitor, priority: ({ raw }) => priority(raw) })
    await app.register(performanceRoutes, { monitor, authorize: 'public' })
  } else app.get('/health/live', { config: { monitor: false } }, async () => 'ok')
  if (policy === 'under-pressure') {
    const { default: underPressure } = await import('@fastify/under-pressure')
    await app.register(underPressure, { maxEventLoopDelay: 100, maxEventLoopUtilization: 0.98 })
  }
  for (const [path, work] of Object.entries(routes)) {
    app.get(path, async () => {
      await work()
      return body
    })
  }
  await app.ready()
  return app.server
}

async function hono(): Promise<Server> {
  const { Hono } = await import('hono')
  const app = new Hono<{ Bindings: { incoming: IncomingMessage } }>()
  if (policy === 'posthaste') {
    const { monitorRequests, performanceRoutes, shedLoad } = await import('posthaste/hono')
    app.use(monitorRequests(monitor))
    app.use(shedLoad(monitor, { priority: (c) => priority(c.env.incoming) }))
    app.use(performanceRoutes(monitor, { authorize: 'public' }))
  }
  app.get('/health/live', (c) => c.text('ok'))
  for (const [path, work] of Object.entries(routes)) {
    app.get(path, async (c) => {
      await work()
      return c.text(body)
    })
  }
  return createServer(getRequestListener(app.fetch) as RequestListener)
}

const server = await { Express: express, Fastify: fastify, Hono: hono }[framework as 'Express']?.()
server?.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as { port: number }).port }))
process.on('message', () => process.send?.(monitor.admission()))
process.on('disconnect', () => process.exit())
