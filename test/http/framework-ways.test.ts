import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import zlib from 'node:zlib'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import express from 'express'
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import { Hono, type MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { streamText } from 'hono/streaming'
import { createCache, PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { ask } from '../support/answering.ts'
import { listen } from '../support/listen.ts'

const rows = Array.from({ length: 300 }, (_, id) => ({ id }))

/** Their JSON, the end of it later than the rest. */
async function* pieces(): AsyncGenerator<Uint8Array> {
  const json = Buffer.from(JSON.stringify(rows))
  yield json.subarray(0, -100)
  await new Promise(setImmediate)
  yield json.subarray(-100)
}

let now = 1_700_000_000_000
const clock = () => now
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

function makeCache() {
  const cache = createCache({ profiles: { default: { ttl: '1m', stale: '10m', jitter: 0 } }, clock })
  closing.push(() => cache.close())
  return cache
}

describe('on Express', () => {
  it.each(['gzip', 'identity'])('keeps what later middleware does when the head is sent (%s)', async (coding) => {
    const app = express()
    app.use(onExpress.compressResponses())
    // As `on-headers` does it, and sessions with it.
    app.use((_request, response, next) => {
      const { writeHead } = response
      response.writeHead = (...args: unknown[]) => {
        response.setHeader('set-cookie', 'session=1')
        return writeHead.apply(response, args as never)
      }
      next()
    })
    app.get('/', (_request, response) => {
      response.json(rows)
    })
    const { headers } = await ask(await listen(createServer(app)), { headers: { 'accept-encoding': coding } })
    expect(headers['set-cookie']).toEqual(['session=1'])
    expect(headers['content-encoding'] ?? 'identity').toBe(coding)
  })

  it.each<[form: string, head: (response: express.Response) => void]>([
    ['an object', (response) => response.writeHead(201, { 'Content-Type': 'text/html', 'X-A': '1' })],
    ['a flat list', (response) => response.writeHead(201, ['content-type', 'text/html', 'x-a', '1'])],
    ['a message', (response) => response.writeHead(201, 'Made', { 'content-type': 'text/html', 'x-a': '1' })],
  ])('compresses what follows `writeHead` with %s', async (_form, head) => {
    const app = express()
    app.use(onExpress.compressResponses())
    app.get('/', (_request, response) => {
      head(response)
      response.end('x'.repeat(5_000))
    })
    const { status, headers, body } = await ask(await listen(createServer(app)), {
      headers: { 'accept-encoding': 'gzip' },
    })
    expect(status).toBe(201)
    expect(headers).toMatchObject({ 'content-type': 'text/html', 'content-encoding': 'gzip', 'x-a': '1' })
    expect(zlib.gunzipSync(body).toString()).toBe('x'.repeat(5_000))
  })

  it('answers once when a handler fails after it answered', async () => {
    const app = express()
    app.use(onExpress.compressResponses({ maxBlock: '0ms' }))
    app.get('/', (_request, response) => {
      response.json(rows)
      throw new Error('too late')
    })
    app.use((_error: unknown, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
      if (!response.headersSent) response.status(500).end('failed')
    })
    const { status, body } = await ask(await listen(createServer(app)), { headers: { 'accept-encoding': 'gzip' } })
    expect(status).toBe(200)
    expect(JSON.parse(zlib.gunzipSync(body).toString())).toEqual(rows)
  })

  it.each([
    ['pragma', 'no-cache'],
    ['expires', '0'],
    ['cache-control', 'private'],
    ['set-cookie', 'a=1'],
  ])('stores nothing where middleware before has set `%s: %s`', async (name, value) => {
    const app = express()
    let runs = 0
    app.use((_request, response, next) => {
      response.set(name, value)
      next()
    })
    app.get('/', onExpress.cacheResponses(makeCache(), { clock }), (_request, response) => {
      response.json(++runs)
    })
    const port = await listen(createServer(app))
    for (const run of [1, 2]) expect((await ask(port)).body.toString()).toBe(String(run))
  })

  it('gives nobody a cookie that was set for another while the head was sent', async () => {
    const app = express()
    let clients = 0
    app.use((_request, response, next) => {
      const { writeHead } = response
      response.writeHead = (...args: unknown[]) => {
        response.setHeader('set-cookie', `session=${++clients}`)
        return writeHead.apply(response, args as never)
      }
      next()
    })
    app.get('/', onExpress.cacheResponses(makeCache(), { clock }), (_request, response) => {
      response.json(rows)
    })
    const port = await listen(createServer(app))
    for (const client of [1, 2]) expect((await ask(port)).headers['set-cookie']).toEqual([`session=${client}`])
  })

  it('renews a stale answer through nested routers, with their parameters', async () => {
    const cache = makeCache()
    const app = express()
    const tenant = express.Router({ mergeParams: true })
    let runs = 0
    tenant.get('/items/:id', onExpress.cacheResponses(cache, { clock }), (request, response) => {
      response.json([request.params, ++runs])
    })
    app.use('/:tenant', tenant)
    const port = await listen(createServer(app))
    const get = async () => JSON.parse((await ask(port, { path: '/acme/items/a%2Fb' })).body.toString())
    expect(await get()).toEqual([{ tenant: 'acme', id: 'a/b' }, 1])
    now += 90_000
    expect(await get()).toEqual([{ tenant: 'acme', id: 'a/b' }, 1])
    await expect.poll(get).toEqual([{ tenant: 'acme', id: 'a/b' }, 2])
  })

  it('renews a stale answer whose handler uses the connection', async () => {
    const app = express()
    let runs = 0
    app.get('/', onExpress.cacheResponses(makeCache(), { clock }), (request, response) => {
      response.socket?.setNoDelay(true).setKeepAlive(true)
      response.setTimeout(1_000)
      response.cork()
      response.write(`${++runs} ${response.socket === request.socket} ${response.writableNeedDrain} `)
      response.uncork()
      response.flushHeaders()
      response.end(String(response.connection?.remoteAddress))
    })
    const port = await listen(createServer(app))
    expect((await ask(port)).body.toString()).toBe('1 true false 127.0.0.1')
    now += 90_000
    await expect.poll(async () => (await ask(port)).body.toString()).toBe('2 true false 127.0.0.1')
  })

  it('runs the next handler when the client that others waited for has left', async () => {
    const app = express()
    let runs = 0
    const gate = Promise.withResolvers<void>()
    app.get('/', onExpress.cacheResponses(makeCache(), { clock }), async (request, response) => {
      const run = ++runs
      const left = once(request.socket, 'close')
      await Promise.race([gate.promise, left])
      if (run > 1) response.json(rows)
    })
    const port = await listen(createServer(app))
    const leaver = send({ host: '127.0.0.1', port, agent: false }).on('error', () => {})
    leaver.end()
    await expect.poll(() => runs).toBe(1)
    const waiting = [ask(port), ask(port), ask(port)]
    await new Promise((resolve) => setTimeout(resolve, 50))
    leaver.destroy()
    await expect.poll(() => runs).toBe(2)
    gate.resolve()
    for (const { status, body } of await Promise.all(waiting)) {
      expect([status, JSON.parse(body.toString())]).toEqual([200, rows])
    }
    expect(runs).toBe(2)
  })

  it.each<[how: string, breakOff: (response: express.Response) => void]>([
    ['destroys the response', (response) => response.destroy()],
    ['destroys it with an error', (response) => response.destroy(new Error('failed'))],
    ['destroys the connection, as after an error', (response) => response.socket?.destroy()],
  ])('lets nobody wait again after a handler %s', async (_how, breakOff) => {
    const app = express()
    let runs = 0
    const gate = Promise.withResolvers<void>()
    app.get('/', onExpress.cacheResponses(makeCache(), { clock }), async (_request, response) => {
      const run = ++runs
      if (run > 1) await gate.promise
      else await new Promise((resolve) => setTimeout(resolve, 100))
      breakOff(response)
    })
    const port = await listen(createServer(app))
    const waiting = [1, 2, 3, 4].map(() => ask(port).catch(() => 'broken off'))
    await expect.poll(() => runs).toBe(4)
    gate.resolve()
    expect(await Promise.all(waiting)).toEqual(Array(4).fill('broken off'))
  })

  it('leaves the answer that something else gave while it waited', async () => {
    const app = express()
    const gate = Promise.withResolvers<void>()
    const cache = makeCache()
    const asked = vi.spyOn(cache, 'getOrSet')
    const responses: express.Response[] = []
    app.use((_request, response, next) => {
      responses.push(response)
      next()
    })
    app.get('/', onExpress.cacheResponses(cache, { clock }), async (_request, response) => {
      await gate.promise
      response.json(rows)
    })
    const port = await listen(createServer(app))
    const first = ask(port)
    await expect.poll(() => asked.mock.calls.length).toBe(1)
    const second = ask(port)
    await expect.poll(() => asked.mock.calls.length).toBe(2)
    // As a middleware for timeouts does it.
    responses[1]?.status(503).end('late')
    expect([(await second).status, (await second).body.toString()]).toEqual([503, 'late'])
    gate.resolve()
    expect(JSON.parse((await first).body.toString())).toEqual(rows)
  })

  it('leaves the answer that `authorize` gave itself', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    closing.push(() => monitor.close())
    const app = express()
    const authorize = ({ res }: express.Request) => {
      res?.redirect('/login')
      return false
    }
    app.use(onExpress.performanceRoutes(monitor, { authorize }))
    const errors: unknown[] = []
    app.use(((error, _request, _response, next) => {
      errors.push(error)
      next()
    }) satisfies express.ErrorRequestHandler)
    const { status, headers } = await ask(await listen(createServer(app)), { path: '/performance' })
    expect({ status, location: headers.location, errors }).toEqual({ status: 302, location: '/login', errors: [] })
  })

  it('sends what the handler answered when the store gives back something else', async () => {
    const app = express()
    const store = {
      get: async () => undefined,
      getOrSet: async (_key: unknown, load: (ctx: object) => unknown) => {
        await load({ skip() {} })
        return {}
      },
      delete: async () => undefined,
    }
    app.get('/', onExpress.cacheResponses(store as never, { clock }), (_request, response) => {
      response.status(201).json(rows)
    })
    const { status, body } = await ask(await listen(createServer(app)))
    expect([status, JSON.parse(body.toString())]).toEqual([201, rows])
  })

  it('hands what `key` throws to the handler of errors', async () => {
    const app = express()
    const key = () => {
      throw new Error('no session')
    }
    app.get('/', onExpress.cacheResponses(makeCache(), { clock, key }), (_request, response) => {
      response.json(rows)
    })
    app.use((error: Error, _request: express.Request, response: express.Response, _next: express.NextFunction) => {
      response.status(500).end(error.message)
    })
    const { status, body } = await ask(await listen(createServer(app)))
    expect([status, body.toString()]).toEqual([500, 'no session'])
  })

  it.each([
    ['before its head', [], 500],
    ['that it breaks off', ['# the first piece\n'], 'broken off'],
  ] as const)('hands an error of an answer of its own %s to the handler of errors', async (_when, pieces, outcome) => {
    const monitor = new PerformanceMonitor({ sampleInterval: false, clock })
    closing.push(() => monitor.close())
    monitor.prometheus = async function* () {
      yield* pieces
      throw new Error('no statistics')
    }
    const app = express()
    const errors: Error[] = []
    app.use(onExpress.performanceRoutes(monitor))
    app.use((error: Error, _request: express.Request, _response: express.Response, next: express.NextFunction) => {
      errors.push(error)
      next(error)
    })
    app.set('env', 'test')
    const answer = ask(await listen(createServer(app)), { path: '/performance/metrics' })
    expect(
      await answer.then(
        ({ status }) => status,
        () => 'broken off',
      ),
    ).toBe(outcome)
    expect(errors.map(({ message }) => message)).toEqual(['no statistics'])
  })
})

describe('on Fastify', () => {
  async function listen(app: FastifyInstance): Promise<number> {
    closing.push(() => app.close())
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  }

  it.each<[what: string, answer: () => Response | ReadableStream]>([
    ['a `Response`', () => Response.json(rows, { headers: { 'x-total-count': '300' } })],
    [
      'a `Response` in a stream',
      () =>
        new Response(ReadableStream.from(pieces()), {
          headers: { 'content-type': 'application/json', 'x-total-count': '300' },
        }),
    ],
  ])('compresses and caches %s', async (_what, answer) => {
    const app = fastify()
    await app.register(onFastify.compressResponses, {})
    await app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    let runs = 0
    const handler = async () => {
      runs++
      return answer()
    }
    app.get('/plain', handler)
    app.get('/cached', { config: { cache: {} } }, handler)
    const port = await listen(app)
    for (const path of ['/plain', '/cached', '/cached']) {
      const { status, headers, body } = await ask(port, { path, headers: { 'accept-encoding': 'gzip' } })
      expect([status, headers['x-total-count'], headers['content-encoding']], path).toEqual([200, '300', 'gzip'])
      expect(JSON.parse(zlib.gunzipSync(body).toString())).toEqual(rows)
      await expect.poll(() => runs).toBe(path === '/plain' ? 1 : 2)
    }
    expect((await ask(port, { path: '/cached' })).headers['cache-status']).toBe('posthaste; hit')
  })

  it.each<[how: string, begin: (reply: FastifyReply) => void]>([
    ['`hijack`', (reply) => reply.hijack()],
    ['`raw` alone', (reply) => reply.raw.write('a')],
  ])('lets nobody wait for an answer that is given through %s', async (_how, begin) => {
    const app = fastify({ forceCloseConnections: true })
    await app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    let runs = 0
    const gate = Promise.withResolvers<void>()
    app.get('/', { config: { cache: {} } }, (_request, reply) => {
      runs++
      begin(reply)
      gate.promise.then(() => reply.raw.end('b'))
    })
    const port = await listen(app)
    const received = [ask(port), ask(port), ask(port)]
    await expect.poll(() => runs).toBe(3)
    gate.resolve()
    for (const { status, body } of await Promise.all(received))
      expect([status, body.toString().at(-1)]).toEqual([200, 'b'])
  })

  it('answers HEAD to the performance routes where the application has none', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    closing.push(() => monitor.close())
    const app = fastify({ exposeHeadRoutes: false })
    closing.push(() => app.close())
    await app.register(onFastify.performanceRoutes, { monitor })
    for (const url of ['/health', '/health/live', '/performance', '/performance/metrics']) {
      const { statusCode, body } = await app.inject({ method: 'HEAD', url })
      expect([statusCode, body], url).toEqual([200, ''])
    }
  })

  it('compresses a stream of the web', async () => {
    const app = fastify()
    await app.register(onFastify.compressResponses, {})
    app.get('/', (_request, reply) => reply.type('application/json').send(ReadableStream.from(pieces())))
    const { headers, body } = await ask(await listen(app), { headers: { 'accept-encoding': 'gzip' } })
    expect(headers['content-encoding']).toBe('gzip')
    expect(JSON.parse(zlib.gunzipSync(body).toString())).toEqual(rows)
  })

  it.each([0, 1, 3])('sends the page of an error as it is when a stream fails after %i pieces', async (count) => {
    const app = fastify()
    await app.register(onFastify.compressResponses, {})
    await app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    async function* broken() {
      for (let piece = 0; piece < count; piece++) yield 'a piece of text, '.repeat(100)
      throw new Error('broken')
    }
    const handler = (_request: unknown, reply: FastifyReply) =>
      reply.type('text/plain').header('etag', '"1"').send(Readable.from(broken()))
    app.get('/plain', handler)
    app.get('/cached', { config: { cache: {} } }, handler)
    const port = await listen(app)
    for (const path of ['/plain', '/cached', '/cached']) {
      const { status, headers, body } = await ask(port, { path, headers: { 'accept-encoding': 'gzip' } })
      expect([status, headers['content-encoding'], headers.etag], path).toEqual([500, undefined, '"1"'])
      expect(JSON.parse(body.toString())).toMatchObject({ message: 'broken' })
    }
  })

  it.each([
    ['short', 2_000],
    ['long', 3_000_000],
  ])('sends a %s answer whole when its handler fails after it, as without compression', async (_what, length) => {
    const app = fastify()
    closing.push(() => app.close())
    await app.register(onFastify.compressResponses, {})
    app.get('/', async (_request, reply) => {
      reply.type('text/plain').send('x'.repeat(length))
      throw new Error('late')
    })
    const response = await app.inject({ url: '/', headers: { 'accept-encoding': 'gzip' } })
    expect([response.statusCode, response.headers['content-encoding']]).toEqual([200, 'gzip'])
    expect(String(zlib.gunzipSync(response.rawPayload))).toBe('x'.repeat(length))
  })

  const lateFailures: Record<string, (reply: FastifyReply) => unknown> = {
    throws: () => {
      throw Object.assign(new Error('late'), { statusCode: 418 })
    },
    'answers again': (reply) => reply.code(404).send({ again: true }),
    'returns another answer': () => ({ again: true }),
    'changes the head': (reply) => reply.code(500).header('x-late', '1').type('text/plain'),
    'calls the handler of 404': (reply) => reply.callNotFound(),
  }
  const lateTurns: Record<string, () => unknown> = {
    'at once': () => undefined,
    'in a later turn': () => new Promise(setImmediate),
  }
  const late = Object.entries(lateFailures).flatMap(([what, fail]) =>
    Object.entries(lateTurns).map(([when, turn]) => ({ what: `${what} ${when}`, fail, turn })),
  )
  it.each(late)('gives the answer that a handler has sent when it $what after it', async ({ fail, turn }) => {
    const cache = makeCache()
    for (const layers of [[], ['cache'], ['freshness'], ['compression', 'cache', 'freshness']]) {
      const app = fastify()
      closing.push(() => app.close())
      if (layers.includes('compression')) await app.register(onFastify.compressResponses, { threshold: 1 })
      if (layers.includes('cache')) await app.register(onFastify.cacheResponses, { cache })
      if (layers.includes('freshness')) await app.register(onFastify.freshness, { cache })
      const config = {
        ...(layers.includes('cache') && { cache: {} }),
        ...(layers.includes('freshness') && { freshness: { tags: ['table:person' as const] } }),
      }
      app.get(`/${layers.join('-')}`, { config }, async (_request, reply) => {
        reply.send({ first: true })
        await turn()
        return fail(reply)
      })
      for (const _time of [1, 2]) {
        const { statusCode, headers, body } = await app.inject({ url: `/${layers.join('-')}` })
        const head = [statusCode, headers['content-type'], headers['x-late']]
        expect([...head, body], layers.join()).toEqual([
          200,
          'application/json; charset=utf-8',
          undefined,
          '{"first":true}',
        ])
      }
    }
  })

  it('leaves a payload that Fastify refuses to Fastify', async () => {
    const app = fastify()
    closing.push(() => app.close())
    await app.register(onFastify.cacheResponses, { cache: makeCache() })
    app.get('/', { config: { cache: {} } }, async (_request, reply) => reply.type('text/plain').send({ id: 1 }))
    expect((await app.inject({ url: '/' })).json()).toMatchObject({ code: 'FST_ERR_REP_INVALID_PAYLOAD_TYPE' })
  })

  it('sends the page of an error as it is when a hook after the compression throws', async () => {
    const app = fastify()
    await app.register(onFastify.compressResponses, {})
    app.addHook('onSend', async () => {
      throw new Error('late')
    })
    app.get('/', (_request, reply) => reply.header('etag', '"1"').send(rows))
    const { status, headers, body } = await ask(await listen(app), { headers: { 'accept-encoding': 'gzip' } })
    expect([status, headers['content-encoding'], headers.etag]).toEqual([500, undefined, '"1"'])
    expect(JSON.parse(body.toString())).toMatchObject({ message: 'late' })
  })

  it('sends trailers without a length, and stores no answer that has some', async () => {
    const app = fastify()
    await app.register(onFastify.compressResponses, {})
    await app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    const handler = (_request: unknown, reply: FastifyReply) => reply.trailer('x-sum', async () => '45150').send(rows)
    app.get('/plain', handler)
    app.get('/cached', { config: { cache: {} } }, handler)
    const port = await listen(app)
    for (const path of ['/plain', '/cached', '/cached']) {
      const request = send({
        port,
        host: '127.0.0.1',
        path,
        agent: false,
        headers: { 'accept-encoding': 'gzip' },
      }).end()
      const [response] = await once(request, 'response')
      const body = Buffer.concat(await Array.fromAsync(response))
      expect([path, response.headers['content-length'], response.trailers]).toEqual([
        path,
        undefined,
        { 'x-sum': '45150' },
      ])
      expect(JSON.parse(zlib.gunzipSync(body).toString())).toEqual(rows)
    }
  })

  it('counts what it saves on requests that no route takes together', async () => {
    const app = fastify()
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    closing.push(() => monitor.close())
    await app.register(onFastify.compressResponses, { monitor })
    app.setNotFoundHandler((_request, reply) => reply.type('text/plain').send('nothing here, '.repeat(200)))
    const port = await listen(app)
    for (const path of ['/a', '/b']) await ask(port, { path, headers: { 'accept-encoding': 'gzip' } })
    const { compression } = monitor.snapshot().additions as { compression: { routes: object[] } }
    expect(compression.routes).toMatchObject([{ method: 'GET', route: '(unmatched)', responses: 2, rawBytes: 5_600 }])
  })

  it('asks the hooks of a route before it answers from the cache', async () => {
    const app = fastify()
    closing.push(() => app.close())
    await app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    let runs = 0
    const preHandler = async (
      request: { headers: Record<string, unknown> },
      reply: { code(status: number): { send(body: string): unknown } },
    ) => (request.headers['x-gate'] === 'right' ? undefined : reply.code(401).send('no'))
    const config = { cache: { ignoreHeaders: ['x-gate'] } }
    app.get('/', { preHandler: preHandler as never, config }, async () => [++runs])
    const get = (key: string) => app.inject({ url: '/', headers: { 'x-gate': key } })
    expect((await get('right')).json()).toEqual([1])
    expect((await get('right')).json()).toEqual([1])
    expect((await get('wrong')).statusCode).toBe(401)
    now += 90_000
    expect((await get('right')).json()).toEqual([2])
  })

  it('renews a stale answer by the next request itself, while others get the stale one', async () => {
    const app = fastify()
    await app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    const seen: unknown[] = []
    let gate: Promise<void> = Promise.resolve()
    let status = 200
    app.get('/', { config: { cache: {} } }, async (request, reply) => {
      seen.push([request.ip, request.protocol, request.raw.httpVersion, request.host])
      await gate
      return reply.code(status).send([seen.length])
    })
    const port = await listen(app)
    const get = async () => (await ask(port, { headers: { host: 'a.example' } })).body.toString()
    expect(await get()).toBe('[1]')
    now += 90_000
    const { promise, resolve } = Promise.withResolvers<void>()
    gate = promise
    const own = get()
    await expect.poll(() => seen.length).toBe(2)
    expect(await get()).toBe('[1]')
    resolve()
    expect([await own, await get()]).toEqual(['[2]', '[2]'])
    expect(seen[1]).toEqual(seen[0])
    now += 90_000
    status = 503
    expect([await get(), seen.length]).toEqual(['[2]', 3])
  })

  it('does not cache a route that was added too early, and says so', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    const app = fastify()
    closing.push(() => app.close())
    app.register(onFastify.cacheResponses, { cache: makeCache(), clock })
    let runs = 0
    app.get('/', { config: { cache: {} } }, async () => [++runs])
    for (const run of [1, 2]) expect((await app.inject('/')).json()).toEqual([run])
    expect(warn.mock.calls.map(([, options]) => (options as { code?: string }).code)).toContain('CACHE_ROUTE_TOO_EARLY')
    warn.mockRestore()
  })

  describe('a route whose `config.cache` leaves an option undefined', () => {
    async function askTwice(defaults: object, left: readonly string[], second: Record<string, string> = {}) {
      const cache = makeCache()
      const asked = vi.spyOn(cache, 'getOrSet')
      const app = fastify()
      closing.push(() => app.close())
      await app.register(onFastify.cacheResponses, { cache, ...defaults })
      const own = Object.fromEntries(left.map((option) => [option, undefined]))
      app.get('/users', { config: { cache: own as object } }, async () => rows)
      const url = '/users?page=1'
      await app.inject({ url })
      const { headers } = await app.inject({ url, headers: { 'accept-encoding': 'gzip', ...second } })
      return { headers, options: asked.mock.calls[0]?.[2] as object }
    }

    it.each<[option: string, value: unknown, second: Record<string, string>, expected: object]>([
      ['query', ['page'], {}, { 'cache-status': 'posthaste; hit' }],
      ['vary', ['x-lang'], { 'x-lang': 'sv' }, { 'cache-status': 'posthaste; fwd=miss; stored' }],
      ['key', () => null, {}, { 'cache-status': 'posthaste; fwd=bypass; detail=key' }],
      ['maxBytes', 10, {}, { 'cache-status': 'posthaste; fwd=miss; detail=size' }],
      ['compress', false, {}, { 'content-length': String(JSON.stringify(rows).length) }],
    ])('keeps the default of the plugin for `%s`', async (option, value, second, expected) => {
      const { headers } = await askTwice({ query: ['page'], [option]: value }, [option], second)
      expect(headers).toMatchObject(expected)
    })

    it('keeps the defaults of the plugin for profile, lifetime and tags', async () => {
      const defaults = { profile: 'default', ttl: '5s', tags: ['users'] }
      const { options } = await askTwice({ query: ['page'], ...defaults }, [...Object.keys(defaults), 'clock'])
      expect(options).toMatchObject(defaults)
    })
  })

  it('keeps the `key` of the plugin where `config.freshness` leaves it undefined', async () => {
    const app = fastify()
    closing.push(() => app.close())
    await app.register(onFastify.freshness, {
      cache: makeCache(),
      tags: ['users'],
      key: ({ headers }) => [headers['x-user']],
    })
    app.get('/orders', { config: { freshness: { key: undefined } } }, async () => rows)
    const tagOf = async (user: string) => {
      await app.inject({ url: '/orders', headers: { 'x-user': user } })
      return (await app.inject({ url: '/orders', headers: { 'x-user': user } })).headers.etag
    }
    const [ann, bob] = [await tagOf('ann'), await tagOf('bob')]
    expect(ann).toMatch(/^W\//)
    expect(bob).toMatch(/^W\//)
    expect(ann).not.toBe(bob)
  })

  it('refuses wrong options of a route when it is added', async () => {
    const app = fastify()
    closing.push(() => app.close())
    await app.register(onFastify.cacheResponses, { cache: makeCache() })
    expect(() => app.get('/', { config: { cache: { maxBytes: -1 } } }, async () => 1)).toThrow('`maxBytes`')
  })
})

describe('on Hono', () => {
  const around: Record<string, MiddlewareHandler> = {
    'replaces the answer': async (c, next) => {
      await next()
      c.res = new Response('other', c.res)
    },
    'fails after the answer': async (_c, next) => {
      await next()
      throw new HTTPException(500, { message: 'other' })
    },
    'passes the body on': async (c, next) => {
      await next()
      c.res = new Response(c.res.body, c.res)
    },
    'passes the body through': async (c, next) => {
      await next()
      c.res = new Response(c.res.body?.pipeThrough(new TransformStream()), c.res)
    },
    'reads the body and passes it on': async (c, next) => {
      await next()
      c.res = new Response(await c.res.arrayBuffer(), c.res)
    },
    'has encoded another body': async (c, next) => {
      await next()
      c.res = undefined
      c.res = new Response(zlib.gzipSync('other'), { headers: { 'content-encoding': 'gzip' } })
    },
  }
  it.each(Object.entries(around))(
    'labels the body with its coding when middleware around %s',
    async (what, middleware) => {
      const app = new Hono()
      const layers = { '/compressed': onHono.compressResponses(), '/cached': onHono.cacheResponses(makeCache()) }
      const text = 'text '.repeat(1_000)
      for (const [path, layer] of Object.entries(layers)) app.get(path, middleware, layer, (c) => c.text(text))
      const port = await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
      for (const path of ['/compressed', '/cached', '/cached']) {
        const { headers, body } = await ask(port, { path, headers: { 'accept-encoding': 'gzip' } })
        const decoded = headers['content-encoding'] === 'gzip' ? zlib.gunzipSync(body) : body
        expect(String(decoded), path).toBe(/replaces|fails|another/.test(what) ? 'other' : text)
      }
    },
  )

  it.each<[what: string, rest: () => AsyncGenerator<string>]>([
    ['at once', async function* () {}],
    [
      'later',
      async function* () {
        await new Promise((resolve) => setTimeout(resolve, 5))
        yield 'ä'.repeat(1_000)
      },
    ],
  ])('takes a stream of texts for a body, as its server does, when it ends %s', async (_what, rest) => {
    const cache = createCache()
    closing.push(() => cache.close())
    await cache.invalidateTags('a')
    async function* texts() {
      yield 'ö'.repeat(1_000)
      yield* rest()
    }
    const app = new Hono()
    const middlewares = [
      onHono.compressResponses(),
      onHono.cacheResponses(cache),
      onHono.freshness(cache, { tags: ['a'] }),
    ]
    for (const [place, middleware] of middlewares.entries()) {
      app.get(`/${place}`, middleware, (c) =>
        c.body(ReadableStream.from(texts()) as ReadableStream<never>, 200, { 'content-type': 'text/plain' }),
      )
    }
    const expected = (await Array.fromAsync(texts())).join('')
    for (const place of middlewares.keys()) {
      const response = await app.request(`/${place}`, { headers: { 'accept-encoding': 'gzip' } })
      const bytes = Buffer.from(await response.arrayBuffer())
      const isEncoded = response.headers.get('content-encoding') === 'gzip'
      expect([place, response.status, (isEncoded ? zlib.gunzipSync(bytes) : bytes).toString()]).toEqual([
        place,
        200,
        expected,
      ])
    }
  })

  it('leaves an answer to the handler that gives it through Node, each time', async () => {
    const cache = makeCache()
    await cache.invalidateTags('a')
    const app = new Hono<{ Bindings: HttpBindings }>()
    app.use('/compressed', onHono.compressResponses())
    app.use('/cached', onHono.cacheResponses(cache))
    app.use('/fresh', onHono.freshness(cache, { tags: ['a'], key: () => [] }))
    app.get('/*', (c) => {
      const { outgoing } = c.env
      setImmediate(() => outgoing.writeHead(200, { 'content-type': 'text/plain' }).end('by Node'))
      // A copy is of Node's own class, whichever test file came first: their servers replace the global `Response`.
      return RESPONSE_ALREADY_SENT.clone()
    })
    const port = await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
    for (const path of ['/compressed', '/cached', '/cached', '/fresh', '/fresh']) {
      for (const headers of [{}, { cookie: 'a=1' }]) {
        const { status, body } = await ask(port, { path, headers })
        expect([path, status, String(body)]).toEqual([path, 200, 'by Node'])
      }
    }
  })

  it('lets middleware replace the body of an answer from the cache, and keep its headers', async () => {
    const app = new Hono()
    app.use(async (c, next) => {
      await next()
      c.res = new Response(`${await c.res.text()} for you`, c.res)
    })
    app.get('/', onHono.cacheResponses(makeCache()), (c) => c.text('a text'))
    const port = await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
    for (const cacheStatus of ['posthaste; fwd=miss; stored', 'posthaste; hit']) {
      const { headers, body } = await ask(port)
      expect([headers['cache-status'], String(body)]).toEqual([cacheStatus, 'a text for you'])
    }
  })

  it('delimits a chunked answer once that was ready at once', async () => {
    const cache = makeCache()
    await cache.invalidateTags('a')
    const app = new Hono()
    app.use('/cached', onHono.cacheResponses(cache))
    app.use('/fresh', onHono.freshness(cache, { tags: ['a'] }))
    app.get('/*', (c) => streamText(c, async (stream) => void (await stream.write('a text'))))
    const port = await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
    for (const path of ['/plain', '/cached', '/fresh']) {
      expect([path, String((await ask(port, { path })).body)]).toEqual([path, 'a text'])
    }
  })

  it('leaves it to Hono that a handler has returned nothing', async () => {
    const cache = makeCache()
    await cache.invalidateTags('a')
    const monitor = new PerformanceMonitor({ sampleInterval: false, onWarn() {} })
    closing.push(() => monitor.close())
    const middlewares = {
      monitor: onHono.monitorRequests(monitor),
      compressed: onHono.compressResponses(),
      plain: onHono.compressResponses(false),
      statistics: onHono.performanceRoutes(monitor),
      cached: onHono.cacheResponses(cache),
      fresh: onHono.freshness(cache, { tags: ['a'] }),
    }
    const app = new Hono()
    app.onError((_error, c) => c.text('an error', 500))
    for (const [name, middleware] of Object.entries(middlewares)) {
      app.use(`/${name}`, middleware)
      app.get(`/${name}`, (() => {}) as never)
    }
    const paths = Object.keys(middlewares).flatMap((name) => [`/${name}`, `/${name}`])
    const port = await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
    for (const path of paths) {
      const { status, body } = await ask(port, { path })
      expect([path, status, String(body)]).toEqual([path, 500, 'an error'])
      const inProcess = await app.request(path)
      expect([path, inProcess.status, await inProcess.text()]).toEqual([path, 500, 'an error'])
    }
    expect(monitor.endpoint('GET', '/monitor')?.status).toEqual({ 500: 4 })
  })

  it('compresses a whole answer whose handler says that it is chunked, as tRPC does', async () => {
    const app = new Hono()
    app.use(onHono.compressResponses())
    app.get('/', () => Response.json(rows, { headers: { 'transfer-encoding': 'chunked' } }))
    const port = await listen(createAdaptorServer({ fetch: app.fetch }) as ReturnType<typeof createServer>)
    const { headers, body } = await ask(port, { path: '/', headers: { 'accept-encoding': 'gzip' } })
    expect(headers).toMatchObject({ 'content-encoding': 'gzip', 'content-length': String(body.length) })
    expect(headers['transfer-encoding']).toBeUndefined()
    expect(JSON.parse(zlib.gunzipSync(body).toString())).toEqual(rows)
  })

  it('leaves the length of a compressed answer to the server, as some versions would send it twice', async () => {
    const app = new Hono()
    app.use(onHono.compressResponses())
    app.get('/', (c) => c.json(rows, 200, { 'content-length': String(Buffer.byteLength(JSON.stringify(rows))) }))
    const response = await app.request('/', { headers: { 'accept-encoding': 'gzip' } })
    expect(response.headers.get('content-encoding')).toBe('gzip')
    expect(response.headers.get('content-length')).toBeNull()
    expect(JSON.parse(zlib.gunzipSync(await response.arrayBuffer()).toString())).toEqual(rows)
  })

  it('renews a stale answer through the middleware of its route', async () => {
    const app = new Hono()
    let runs = 0
    const middleware: MiddlewareHandler = async (c, next) => {
      await next()
      c.header('x-run', String(runs))
    }
    app.get('/', onHono.cacheResponses(makeCache(), { clock }), middleware, (c) => c.json(++runs))
    const get = async () => {
      const response = await app.request('/')
      return [response.headers.get('x-run'), await response.json()]
    }
    expect(await get()).toEqual(['1', 1])
    now += 90_000
    expect(await get()).toEqual(['1', 1])
    await expect.poll(get).toEqual(['2', 2])
  })

  it('drops a stale answer when its handler leaves the request to others, and there are none', async () => {
    const app = new Hono()
    let isThere = true
    app.get('/', onHono.cacheResponses(makeCache(), { clock }), (c, next) => (isThere ? c.json(rows) : next()))
    expect((await app.request('/')).status).toBe(200)
    isThere = false
    now += 90_000
    expect((await app.request('/')).status).toBe(200)
    await expect.poll(async () => (await app.request('/')).status).toBe(404)
  })

  it('answers with what an error of Hono brings, and throws what brings nothing', async () => {
    const app = new Hono()
    app.onError(onHono.answerErrors())
    app.get('/teapot', () => {
      throw new HTTPException(418, { message: 'short and stout' })
    })
    app.get('/broken', () => {
      throw new Error('broken')
    })
    const response = await app.request('/teapot')
    expect([response.status, await response.text()]).toEqual([418, 'short and stout'])
    await expect((async () => app.request('/broken'))()).rejects.toThrow('broken')
  })

  it('streams the live page where it runs without a server', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    closing.push(() => monitor.close())
    const app = new Hono().use(onHono.performanceRoutes(monitor))
    const { status, body } = await app.request('/performance/stream')
    const reader = (body as ReadableStream<Uint8Array>).getReader()
    const { value } = await reader.read()
    await reader.cancel()
    expect(status).toBe(200)
    expect(Buffer.from(value as Uint8Array).toString()).toMatch(/^data: \{"schema"/)
  })

  it('renews a stale answer with the parameters and variables of the request', async () => {
    const cache = makeCache()
    const app = new Hono<{ Variables: { tenant: string } }>()
    let runs = 0
    app.use(async (c, next) => {
      c.set('tenant', 'acme')
      await next()
    })
    const items = new Hono<{ Variables: { tenant: string } }>()
    items.get('/:id', onHono.cacheResponses(cache, { clock }), (c) => c.json([c.get('tenant'), c.req.param(), ++runs]))
    app.route('/:kind', items)
    const get = async () => (await app.request('/books/50%25%2Foff')).json()
    expect(await get()).toEqual(['acme', { kind: 'books', id: '50%/off' }, 1])
    now += 90_000
    expect(await get()).toEqual(['acme', { kind: 'books', id: '50%/off' }, 1])
    await expect.poll(get).toEqual(['acme', { kind: 'books', id: '50%/off' }, 2])
  })
})

describe('cache.http', () => {
  it('takes the tags of a response from a function of the request', async () => {
    const cache = makeCache()
    let runs = 0
    const handler = cache.http(() => Response.json(++runs), {
      tags: ({ url }) => [new URL(url).pathname === '/a' ? 'a' : 'b'] as never,
    })
    const get = async (path: string) => (await handler(new Request(`http://x${path}`))).json()
    expect([await get('/a'), await get('/b')]).toEqual([1, 2])
    await cache.invalidateTags('a' as never)
    expect([await get('/a'), await get('/b')]).toEqual([3, 2])
  })

  it.each(['if-none-match', 'if-modified-since'])(
    'hides %s in requests of a class that is the server’s own',
    async (name) => {
      /** As in srvx: `instanceof Request`, but the runtime does not take it for one, and with more than a `Request` has. */
      class ServerRequest {
        readonly #address = '192.0.2.1'
        readonly url = 'http://a/'
        readonly method = 'GET'
        readonly headers = new Headers({ [name]: new Date().toUTCString(), accept: 'text/plain' })
        get ip() {
          return this.#address
        }
        text() {
          return Promise.resolve(this.#address)
        }
      }
      Object.setPrototypeOf(ServerRequest.prototype, Request.prototype)
      const handler = makeCache().http(async (request) => {
        const { ip } = request as unknown as ServerRequest
        return Response.json([ip, await request.text(), request.method, request.url, [...request.headers.keys()]])
      })
      const response = await handler(new ServerRequest() as unknown as Request)
      expect(response.headers.get('cache-status')).toBe('posthaste; fwd=miss; stored')
      expect(await response.json()).toEqual(['192.0.2.1', '192.0.2.1', 'GET', 'http://a/', ['accept']])
    },
  )

  it('gives the server the answer of an upgrade itself, which it knows by its identity', async () => {
    const cache = makeCache()
    const upgraded = Object.defineProperty(new Response(null), 'status', { value: 101 })
    const handler = cache.http(() => upgraded)
    expect(await handler(new Request('http://a/', { headers: { upgrade: 'websocket' } }))).toBe(upgraded)
  })

  it('never stores an answer with several cookies', async () => {
    const handler = makeCache().http(() => {
      const response = Response.json(rows)
      for (const cookie of ['a=1', 'b=2']) response.headers.append('set-cookie', cookie)
      return response
    })
    for (let round = 0; round < 2; round++) {
      const { headers } = await handler(new Request('http://x/'))
      expect(headers.getSetCookie()).toEqual(['a=1', 'b=2'])
      expect(headers.get('cache-status')).toBe('posthaste; fwd=miss; detail=set-cookie')
    }
  })

  it('gives the error of the handler to everybody who waited for it', async () => {
    const failure = new Error('broken')
    let runs = 0
    const handler = makeCache().http(async () => {
      runs++
      await new Promise(setImmediate)
      throw failure
    })
    const results = await Promise.allSettled([1, 2, 3].map(() => handler(new Request('http://x/'))))
    expect(results.map((result) => (result as PromiseRejectedResult).reason)).toEqual([failure, failure, failure])
    expect(runs).toBe(1)
  })

  it.each<[option: string, options: object]>([
    ['ttl', { ttl: 60 }],
    ['tags', { tags: 'users' }],
    ['query', { query: 'page' }],
    ['vary', { vary: [1] }],
    ['key', { key: 'user' }],
    ['maxBytes', { maxBytes: -1 }],
    ['gzipLevel', { compress: { gzipLevel: 12 } }],
  ])('refuses a wrong `%s`', (option, options) => {
    expect(() => makeCache().http(() => new Response(), options)).toThrow(`\`${option}\``)
  })
})
