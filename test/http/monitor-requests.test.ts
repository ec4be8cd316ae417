import { once } from 'node:events'
import { createServer, ServerResponse, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'
import SQLite from 'better-sqlite3'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { Kysely, SqliteDialect, sql } from 'kysely'
import { PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { WebSocketServer } from 'ws'
import { ask } from '../support/answering.ts'
import { listen } from '../support/listen.ts'

function makeMonitor(): PerformanceMonitor {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  return monitor
}

/** Each endpoint with its counts of completed requests, streams and upgrades, once nothing is in flight any more. */
async function countsOf(monitor: PerformanceMonitor): Promise<string[]> {
  await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
  return monitor
    .snapshot()
    .endpoints.map(
      ({ method, route, count, streams, upgrades }) => `${method} ${route} ${count}/${streams}/${upgrades}`,
    )
    .sort()
}

interface Faces {
  readonly express: typeof onExpress
  readonly fastify: typeof onFastify
  readonly hono: typeof onHono
}

/** A route `/users/:id` behind the monitor, which hands its own request to the function before it answers. */
type Start = (
  faces: Faces,
  monitor: PerformanceMonitor,
  run: (request: object) => unknown,
  options?: { readonly label?: () => string },
) => Promise<Ask>
type Ask = (method: string, path: string) => Promise<unknown>

const starts: Readonly<Record<string, Start>> = {
  async Express(faces, monitor, run, options) {
    const app = express()
      .use(faces.express.monitorRequests(monitor, options))
      .all('/users/:id', async (request, response) => {
        await run(request)
        response.end('ok')
      })
    const port = await listen(createServer(app))
    return (method, path) => ask(port, { method, path })
  },
  async Fastify(faces, monitor, run, options) {
    const app = fastify()
    onTestFinished(() => app.close())
    await app.register(faces.fastify.monitorRequests, { monitor, ...options })
    app.all('/users/:id', async (request) => {
      await run(request)
      return 'ok'
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    const headers = { 'content-type': 'application/json', 'content-length': '2' }
    return (method, path) =>
      method === 'POST' ? app.inject({ method, url: path, headers, payload: '{}' }) : ask(port, { method, path })
  },
  async Hono(faces, monitor, run, options) {
    const app = honoApp(faces, monitor, run, options)
    const port = await listen(createServer(getRequestListener(app.fetch)))
    return (method, path) => ask(port, { method, path })
  },
  async 'Hono without a server'(faces, monitor, run, options) {
    const app = honoApp(faces, monitor, run, options)
    return async (method, path) => app.request(path, { method })
  },
}

function honoApp(faces: Faces, monitor: PerformanceMonitor, run: (request: object) => unknown, options?: object): Hono {
  const app = new Hono()
  app.use(faces.hono.monitorRequests(monitor, options))
  app.all('/users/:id', async (c) => {
    await run(c)
    return c.text('ok')
  })
  return app
}

const faces: Faces = { express: onExpress, fastify: onFastify, hono: onHono }

describe.each(Object.entries(starts))('on %s', (_name, start) => {
  it('counts a request under the name that its handler gave it, and not one that it took out', async () => {
    const monitor = makeMonitor()
    const labels = ['user.get', null]
    const request = await start(faces, monitor, (own) => monitor.setRoute(own, labels.shift() ?? null))
    for (let count = 0; count < 3; count++) await request('GET', '/users/1')
    expect(await countsOf(monitor)).toEqual(['GET user.get 1/0/0'])
  })

  it('counts a request under the pattern of its route when the option `label` returns no text', async () => {
    const monitor = makeMonitor()
    const labels: unknown[] = [
      5,
      '',
      null,
      {},
      Promise.resolve('x'),
      ['/users'],
      () => Promise.reject(new Error('no label')),
      undefined,
    ]
    const [first] = labels
    const label = () => {
      const given = labels.length > 0 ? labels[0] : first
      return (typeof given === 'function' ? given() : given) as string
    }
    const request = await start(faces, monitor, () => {}, { label })
    for (let count = labels.length; count > 0; count--) {
      await request('GET', '/users/1')
      await expect.poll(() => monitor.inFlight).toBe(0)
      labels.shift()
    }
    expect(await countsOf(monitor)).toEqual(['GET /users/:id 8/0/0'])
  })

  it('opens a query scope for each request as soon as queries are watched, and none before', async () => {
    // Whether queries are watched is known to the process, where other tests have been: the library is loaded anew.
    vi.resetModules()
    const { currentScope } = await import('../../src/database/n-plus-one/query-scope.ts')
    const { instrument, PerformanceMonitor, queryReport } = await import('posthaste')
    const anew = {
      express: await import('posthaste/express'),
      fastify: await import('posthaste/fastify'),
      hono: await import('posthaste/hono'),
    }
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    onTestFinished(() => monitor.close())
    let db: Kysely<unknown> | undefined
    const scopes: (string | undefined)[] = []
    const request = await start(anew, monitor, async () => {
      scopes.push(currentScope()?.name)
      for (let count = 0; db !== undefined && count < 6; count++)
        await sql`select ${count} from sqlite_schema`.execute(db)
    })
    await request('GET', '/users/1')
    expect(scopes).toEqual([undefined])

    const dialect = new SqliteDialect({ database: new SQLite(':memory:') })
    const watched = new Kysely<unknown>(instrument({ dialect }, { nPlusOne: { mode: 'silent' } }))
    onTestFinished(() => watched.destroy())
    db = watched
    await request('POST', '/users/1')
    expect(scopes).toEqual([undefined, 'POST /users/:id'])
    await expect.poll(() => queryReport(watched).nPlusOne).toMatchObject([{ scope: 'POST /users/:id' }])
  })
})

describe('past Express, `monitorUpgrades`', () => {
  const routes = new Map([
    ['/chat/1', '/chat/:room'],
    ['/closed', '/closed'],
    ['/gone', '/gone'],
  ])

  function open(path: string): Promise<string> {
    const socket = new WebSocket(path)
    return new Promise((resolve) => {
      socket.onopen = () => socket.close()
      socket.onclose = () => resolve('opened')
      socket.onerror = () => resolve('refused')
    })
  }

  it('counts what is accepted as an upgrade, what is refused with its status, what is dropped as aborted', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false, ignore: (_method, path) => path === '/ignored' })
    onTestFinished(() => monitor.close())
    const server = createServer(express())
    const sockets = new WebSocketServer({ noServer: true })
    server.on('upgrade', (request, socket, head) => {
      if (request.url?.startsWith('/chat')) sockets.handleUpgrade(request, socket, head, () => {})
      else if (request.url === '/closed') socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n')
      else if (request.url === '/foreign') socket.end('foreign')
      else socket.destroy()
    })
    onExpress.monitorUpgrades(monitor, server, ({ url }) => routes.get((url as string).split('?')[0] as string))
    const port = await listen(server)
    const answers = []
    for (const path of ['/chat/1?token=x', '/chat/1', '/closed', '/gone', '/foreign', '/ignored'])
      answers.push(await open(`ws://127.0.0.1:${port}${path}`))
    expect(answers).toEqual(['opened', 'opened', 'refused', 'refused', 'refused', 'refused'])
    await expect.poll(() => monitor.snapshot().requests.inFlight).toBe(0)
    expect(
      monitor
        .snapshot()
        .endpoints.map(
          ({ route, status, aborted, upgrades }) => `${route} ${JSON.stringify(status)} ${aborted}/${upgrades}`,
        )
        .sort(),
    ).toEqual(['(unmatched) {} 1/0', '/chat/:room {} 0/2', '/closed {"403":1} 0/0', '/gone {} 1/0'])
  })

  it('leaves upgrades to Node while nobody else listens: it answers them as requests', async () => {
    const monitor = makeMonitor()
    const app = express().get('/', (_request, response) => void response.end('ok'))
    const server = createServer(app)
    onExpress.monitorUpgrades(monitor, server, '/live')
    const port = await listen(server)
    const headers = { connection: 'Upgrade', upgrade: 'h2c' }
    const answer = () =>
      new Promise((resolve, reject) => {
        const asked = send({ port, headers, agent: false }, (response) =>
          response.resume().on('end', () => resolve(response.statusCode)),
        )
        asked
          .on('upgrade', (_response, socket) => resolve(socket.destroy() && 'upgraded'))
          .on('error', reject)
          .end()
      })
    expect(await answer()).toBe(200)
    const sockets = new WebSocketServer({ server })
    expect(await open(`ws://127.0.0.1:${port}/`)).toBe('opened')
    sockets.close()
    expect(await answer()).toBe(200)
    expect(await countsOf(monitor)).toEqual(['GET /live 0/0/1'])
  })

  it('survives an `ignore` that throws, and a route that rejects', async () => {
    const ignore = () => {
      throw new Error('who?')
    }
    const rejecting = () => Promise.reject(new Error('where?'))
    const monitor = new PerformanceMonitor({ sampleInterval: false, ignore, onWarn: () => {} })
    onTestFinished(() => monitor.close())
    const server = createServer()
    new WebSocketServer({ server })
    onExpress.monitorUpgrades(monitor, server, rejecting as never)
    expect(await open(`ws://127.0.0.1:${await listen(server)}/live`)).toBe('opened')
    expect(await countsOf(monitor)).toEqual(['GET (unmatched) 0/0/1'])
  })

  it('counts under one name where there is only one route', async () => {
    const monitor = makeMonitor()
    const server = createServer()
    new WebSocketServer({ server })
    onExpress.monitorUpgrades(monitor, server, '/live')
    const port = await listen(server)
    expect(await open(`ws://127.0.0.1:${port}/live`)).toBe('opened')
    expect(await countsOf(monitor)).toEqual(['GET /live 0/0/1'])
  })

  it('counts a request under the label of `setRoute`, and not at all when that is null', async () => {
    const monitor = makeMonitor()
    const server = createServer()
    server.on('upgrade', (request, socket) => {
      monitor.setRoute(request, request.url === '/removed' ? null : '/chat/:room')
      socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
    })
    onExpress.monitorUpgrades(monitor, server, '/live')
    const port = await listen(server)
    for (const path of ['/removed', '/chat/1']) await open(`ws://127.0.0.1:${port}${path}`)
    expect(await countsOf(monitor)).toEqual(['GET /chat/:room 0/0/1'])
  })
})

describe('counts a connection that was upgraded as such when it closes', () => {
  type Dispatch = (request: Parameters<ReturnType<typeof getRequestListener>>[0], response: ServerResponse) => unknown

  /** As the WebSocket plugins do it: the request takes the way of all, with a response on the socket. */
  async function upgrade(dispatch: Dispatch): Promise<void> {
    const server = createServer()
    server.on('upgrade', (request, socket) => {
      const response = new ServerResponse(request)
      response.assignSocket(socket as Parameters<ServerResponse['assignSocket']>[0])
      socket.on('end', () => socket.end()).resume()
      dispatch(request, response)
    })
    const port = await listen(server)
    const request = send({
      port,
      host: '127.0.0.1',
      path: '/live/1',
      headers: { connection: 'upgrade', upgrade: 'chat' },
    })
    request.end()
    const [, socket] = await once(request, 'upgrade')
    socket.destroy()
  }

  const accept = ({ socket }: ServerResponse) =>
    void socket?.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: chat\r\n\r\n')

  it('on Express', async () => {
    const monitor = makeMonitor()
    const app = express()
      .use(onExpress.monitorRequests(monitor))
      .get('/live/:id', (_request, response) => accept(response))
    await upgrade(app as unknown as Dispatch)
    expect(await countsOf(monitor)).toEqual(['GET /live/:id 0/0/1'])
  })

  it('on Fastify', async () => {
    const monitor = makeMonitor()
    const app = fastify()
    onTestFinished(() => app.close())
    await app.register(onFastify.monitorRequests, { monitor })
    app.get('/live/:id', async (_request, reply) => {
      reply.hijack()
      accept(reply.raw)
    })
    await app.ready()
    await upgrade((request, response) => app.routing(request as never, response as never))
    expect(await countsOf(monitor)).toEqual(['GET /live/:id 0/0/1'])
  })

  it('on Hono, whose helpers ask the application, but not one that was refused', async () => {
    const monitor = makeMonitor()
    const app = new Hono()
    app.use(onHono.monitorRequests(monitor))
    app.get('/live/:id', (c) => c.body(null, c.req.param('id') === '1' ? 200 : 403))
    for (const path of ['/live/1', '/live/2']) await app.request(path, { headers: { upgrade: 'websocket' } })
    expect(await countsOf(monitor)).toEqual(['GET /live/:id 1/0/1'])
  })
})

it('counts an event stream as such where Hono runs without a server, and a failure as completed', async () => {
  const monitor = makeMonitor()
  const app = new Hono()
  app.use(onHono.monitorRequests(monitor))
  app.get('/events', (c) => c.body('data: 1\n\n', 200, { 'content-type': 'text/event-stream' }))
  app.get('/empty', (c) => c.body(null))
  app.get('/broken', () => {
    throw new Error('broken')
  })
  app.onError((_error, c) => c.text('failed', 500))
  for (const path of ['/events', '/empty', '/broken']) await app.request(path)
  expect(await countsOf(monitor)).toEqual(['GET /broken 1/0/0', 'GET /empty 1/0/0', 'GET /events 0/1/0'])
})

it('counts a request whose response has no socket, as in a function, when it is sent', async () => {
  const monitor = makeMonitor()
  const app = express()
    .use(onExpress.monitorRequests(monitor))
    .get('/users/:id', (_request, response) => void response.end('ok'))
  const port = await listen(
    createServer((request, response) => {
      const inFunction = new ServerResponse(request)
      // As `@codegenie/serverless-express` has it.
      const socket = { _writableState: {}, writable: true, on() {}, cork() {}, uncork() {}, removeListener() {} }
      const write = (_data: unknown, _encoding: unknown, done?: () => void) => done?.()
      inFunction.assignSocket({ ...socket, write } as never)
      inFunction.once('finish', () => response.end())
      app(request as never, inFunction as never)
    }),
  )
  await ask(port, { path: '/users/1' })
  expect(await countsOf(monitor)).toEqual(['GET /users/:id 1/0/0'])
})
