import { once } from 'node:events'
import { type ClientHttp2Stream, connect, constants, createServer } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import fastify from 'fastify'
import { Hono } from 'hono'
import { PerformanceMonitor } from 'posthaste'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { expect, it, onTestFinished } from 'vitest'

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = constants
// Longer than what Node sends to a client that does not read.
const long = 'x'.repeat(300_000)

/** A server with one route, at `/`, behind middleware that waits. */
const servers: Readonly<
  Record<
    string,
    (monitor: PerformanceMonitor, before: () => Promise<void>, answer: () => Promise<string>) => Promise<number>
  >
> = {
  async Fastify(monitor, before, answer) {
    const app = fastify({ http2: true })
    app.addHook('onRequest', before)
    await app.register(onFastify.monitorRequests, { monitor })
    await app.register(onFastify.shedLoad, { monitor, concurrency: 1 })
    app.get('/', answer)
    await app.listen({ port: 0, host: '127.0.0.1' })
    onTestFinished(() => app.close())
    return (app.server.address() as AddressInfo).port
  },
  async Hono(monitor, before, answer) {
    const app = new Hono()
    app.use(async (_c, next) => {
      await before()
      await next()
    })
    app.use(onHono.monitorRequests(monitor))
    app.use(onHono.shedLoad(monitor, { concurrency: 1 }))
    app.get('/', async (c) => c.text(await answer()))
    const server = createAdaptorServer({ fetch: app.fetch, createServer })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return (server.address() as AddressInfo).port
  },
}

type Moment = 'before' | 'handler' | 'answer'

const cases = Object.keys(servers).flatMap((name) =>
  ['GET', 'HEAD'].flatMap((method) =>
    (['before', 'handler', 'answer'] as const).flatMap((moment) =>
      [NGHTTP2_CANCEL, NGHTTP2_NO_ERROR].map((code): [string, string, Moment, number] => [name, method, moment, code]),
    ),
  ),
)

it.each(cases)('on %s, %s whose client leaves in the %s with code %i ends', async (name, method, moment, code) => {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const gate = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const stop = async (here: Moment) => {
    if (here !== moment) return
    reached.resolve()
    await gate.promise
  }
  const answer = async () => {
    await stop('handler')
    return long
  }
  const port = await servers[name]!(monitor, () => stop('before'), answer)
  const client = connect(`http://127.0.0.1:${port}`)
  onTestFinished(() => client.destroy())
  const ask = (): ClientHttp2Stream => client.request({ ':method': method, ':path': '/' }).on('error', () => {})
  const stream = ask()
  await (moment === 'answer' ? once(stream, 'response') : reached.promise)
  stream.close(code)
  // The server has heard of it when it answers what was sent later.
  await new Promise((resolve) => client.ping(resolve))
  gate.resolve()
  await expect.poll(() => monitor.inFlight).toBe(0)
  await expect.poll(() => monitor.snapshot().requests.total).toBe(1)
  // Its place is free.
  const [headers] = (await once(ask().resume(), 'response')) as [Record<string, unknown>]
  expect(headers[':status']).toBe(200)
})

it('counts a HEAD as completed whose handler ends it after its head was sent', async () => {
  const monitor = new PerformanceMonitor({ sampleInterval: false })
  onTestFinished(() => monitor.close())
  const app = fastify({ http2: true })
  await app.register(onFastify.monitorRequests, { monitor })
  app.get('/', (_request, reply) => {
    const { raw } = reply.hijack()
    raw.writeHead(200)
    raw.stream.on('close', () => setImmediate(() => raw.end(long)))
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  onTestFinished(() => app.close())
  const client = connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
  onTestFinished(() => client.destroy())
  const stream = client.request({ ':method': 'HEAD', ':path': '/' })
  await once(stream.resume(), 'close')
  await expect.poll(() => monitor.endpoint('HEAD', '/')?.status).toEqual({ 200: 1 })
})
