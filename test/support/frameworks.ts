import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import websocket from '@fastify/websocket'
import { serve, upgradeWebSocket, type WebSocketServerLike } from '@hono/node-server'
import express5 from 'express'
import express4 from 'express4'
import fastify from 'fastify'
import { Hono } from 'hono'
import { stream, streamSSE } from 'hono/streaming'
import { ClientInputError, type PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { WebSocketServer } from 'ws'

/** A running server and how to end it. */
export interface Running {
  readonly url: string
  readonly port: number
  close(): Promise<void>
}

/** Options of `performanceRoutes`, as far as the frameworks share them. */
export interface RoutesOptions {
  readonly path?: string
  readonly health?: string | false
  readonly metrics?: boolean
  readonly dashboard?: boolean
  readonly authorize?: 'public' | { readonly bearer: string }
  readonly casing?: 'snake' | 'camel'
}

/** The client's mistake of the route `/bad`. */
export class BadInput extends ClientInputError {
  readonly code = 'ERR_BAD_INPUT'
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Four pieces over 400 ms. */
async function* slowPieces(): AsyncGenerator<string> {
  for (let piece = 0; piece < 4; piece++) {
    await pause(100)
    yield `piece ${piece}\n`
  }
}

/** One application on each framework: nested routers, errors, streams, rejections. */
export const frameworks: Readonly<
  Record<string, (monitor: PerformanceMonitor, routes?: RoutesOptions) => Promise<Running>>
> = {
  'Express 4': (monitor, routes) => startExpress(express4 as unknown as typeof express5, monitor, routes),
  'Express 5': (monitor, routes) => startExpress(express5, monitor, routes),
  Fastify: startFastify,
  Hono: startHono,
}

async function startExpress(
  express: typeof express5,
  monitor: PerformanceMonitor,
  routes?: RoutesOptions,
): Promise<Running> {
  const app = express()
  app.use(onExpress.monitorRequests(monitor))
  app.use(onExpress.performanceRoutes(monitor, routes))

  app.get('/users/:id', (_request, response) => {
    response.json({ ok: true })
  })
  const tenant = express.Router({ mergeParams: true })
  tenant.get('/items/:id', (_request, response) => {
    response.json({ ok: true })
  })
  tenant.get('/boom', () => {
    throw new Error('boom')
  })
  app.use('/api/v1/:tenant', tenant)
  app.get(
    '/private/:id',
    (_request, response) => {
      response.status(401).end()
    },
    (_request, response) => {
      response.end('secret')
    },
  )
  app.use('/admin', (_request, response) => {
    response.status(403).end()
  })
  app.get('/admin/:page', (_request, response) => {
    response.end('admin')
  })
  app.get('/slow', async (_request, response) => {
    await pause(3_000)
    response.end('slow')
  })
  app.get('/stream', async (_request, response) => {
    for await (const piece of slowPieces()) response.write(piece)
    response.end()
  })
  app.get('/events', (_request, response) => {
    response.set('content-type', 'text/event-stream')
    response.write('data: hello\n\n')
  })
  app.get('/empty', (_request, response) => {
    response.status(204).end()
  })
  app.get('/unchanged', (_request, response) => {
    response.status(304).end()
  })
  app.get('/bad', () => {
    throw new BadInput('`page` is wrong')
  })
  app.use(onExpress.answerErrors())
  app.use((_error: unknown, _request: express5.Request, response: express5.Response, _next: express5.NextFunction) => {
    response.status(500).end('failed')
  })

  const server = createServer(app)
  new WebSocketServer({ server })
  onExpress.monitorUpgrades(monitor, server, '/live/:id')
  return listen(server)
}

async function startFastify(monitor: PerformanceMonitor, routes?: RoutesOptions): Promise<Running> {
  const app = fastify({ forceCloseConnections: true })
  await app.register(websocket)
  await app.register(onFastify.monitorRequests, { monitor })
  await app.register(onFastify.performanceRoutes, { monitor, ...routes })
  app.setErrorHandler(onFastify.answerErrors())

  app.get('/users/:id', async () => ({ ok: true }))
  await app.register(
    async (tenant) => {
      tenant.get('/items/:id', async () => ({ ok: true }))
      tenant.get('/boom', async () => {
        throw new Error('boom')
      })
    },
    { prefix: '/api/v1/:tenant' },
  )
  app.get('/private/:id', { preHandler: async (_request, reply) => reply.code(401).send() }, async () => 'secret')
  await app.register(
    async (admin) => {
      admin.addHook('onRequest', async (_request, reply) => reply.code(403).send())
      admin.get('/:page', async () => 'admin')
    },
    { prefix: '/admin' },
  )
  app.get('/slow', async () => {
    await pause(3_000)
    return 'slow'
  })
  app.get('/stream', async (_request, reply) => {
    reply.hijack()
    for await (const piece of slowPieces()) reply.raw.write(piece)
    reply.raw.end()
  })
  app.get('/events', async (_request, reply) => {
    reply.hijack()
    reply.raw.setHeader('content-type', 'text/event-stream')
    reply.raw.write('data: hello\n\n')
  })
  app.get('/empty', async (_request, reply) => reply.code(204).send())
  app.get('/unchanged', async (_request, reply) => reply.code(304).send())
  app.get('/bad', async () => {
    throw new BadInput('`page` is wrong')
  })
  app.options('/users/:id', async () => '')
  app.get('/live/:id', { websocket: true }, () => {})

  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, close: () => app.close() }
}

async function startHono(monitor: PerformanceMonitor, routes?: RoutesOptions): Promise<Running> {
  const app = new Hono()
  app.use(onHono.monitorRequests(monitor))
  app.use(onHono.performanceRoutes(monitor, routes))
  app.onError((error, c) => {
    try {
      return onHono.answerErrors()(error, c)
    } catch {
      return c.text('failed', 500)
    }
  })

  app.get('/users/:id', (c) => c.json({ ok: true }))
  app.options('/users/:id', (c) => c.text(''))
  app.get(
    '/live/:id',
    upgradeWebSocket(() => ({})),
  )
  const tenant = new Hono()
  tenant.get('/items/:id', (c) => c.json({ ok: true }))
  tenant.get('/boom', () => {
    throw new Error('boom')
  })
  app.route('/api/v1/:tenant', tenant)
  app.get(
    '/private/:id',
    async (c, _next) => c.body(null, 401),
    (c) => c.text('secret'),
  )
  app.use('/admin/*', async (c) => c.body(null, 403))
  app.get('/admin/:page', (c) => c.text('admin'))
  app.get('/slow', async (c) => {
    await pause(3_000)
    return c.text('slow')
  })
  app.get('/stream', (c) =>
    stream(c, async (out) => {
      for await (const piece of slowPieces()) await out.write(piece)
    }),
  )
  app.get('/events', (c) =>
    streamSSE(c, async (out) => {
      await out.writeSSE({ data: 'hello' })
      await new Promise<void>((resolve) => out.onAbort(resolve))
    }),
  )
  app.get('/empty', (c) => c.body(null, 204))
  app.get('/unchanged', (c) => c.body(null, 304))
  app.get('/bad', () => {
    throw new BadInput('`page` is wrong')
  })

  const sockets = new WebSocketServer({ noServer: true }) as unknown as WebSocketServerLike
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1', websocket: { server: sockets } }) as Server
  await once(server, 'listening')
  return running(server)
}

async function listen(server: Server): Promise<Running> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return running(server)
}

function running(server: Server): Running {
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
