import { once } from 'node:events'
import { type ClientHttp2Session, connect, createServer, type IncomingHttpHeaders } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn } from 'node:timers/promises'
import zlib from 'node:zlib'
import { createAdaptorServer } from '@hono/node-server'
import fastify from 'fastify'
import { Hono } from 'hono'
import { type Cache, createCache } from 'posthaste'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const rows = Array.from({ length: 300 }, (_, id) => ({ id }))

async function* pieces(): AsyncGenerator<Uint8Array> {
  for (const row of rows) {
    await turn()
    yield Buffer.from(`${JSON.stringify(row)}\n`)
  }
}

interface Running {
  readonly port: number
  close(): Promise<unknown>
}

/** Two routes over HTTP/2: `/rows`, cached, and `/pieces`. */
const servers: Readonly<Record<string, (cache: Cache, onRun: () => void) => Promise<Running>>> = {
  async Fastify(cache, onRun) {
    const app = fastify({ http2: true })
    await app.register(onFastify.compressResponses, {})
    await app.register(onFastify.cacheResponses, { cache })
    app.get('/rows', { config: { cache: {} } }, async () => {
      onRun()
      return rows
    })
    app.get('/pieces', async (_request, reply) => reply.type('text/plain').send(Readable.from(pieces())))
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { port: (app.server.address() as AddressInfo).port, close: () => app.close() }
  },
  async Hono(cache, onRun) {
    const app = new Hono()
    app.use(onHono.compressResponses())
    app.get('/rows', onHono.cacheResponses(cache), (c) => {
      onRun()
      return c.json(rows)
    })
    app.get('/pieces', (c) => c.body(ReadableStream.from(pieces()), 200, { 'content-type': 'text/plain' }))
    const server = createAdaptorServer({ fetch: app.fetch, createServer })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { port: (server.address() as AddressInfo).port, close: async () => server.close() }
  },
}

describe.each(Object.entries(servers))('HTTP/2 on %s', (_name, start) => {
  let cache: Cache
  let server: Running
  let client: ClientHttp2Session
  let runs: number

  beforeEach(async () => {
    runs = 0
    cache = createCache() as unknown as Cache
    server = await start(cache, () => {
      runs++
    })
    client = connect(`http://127.0.0.1:${server.port}`)
  })
  afterEach(async () => {
    client.close()
    await server.close()
    await cache.close()
  })

  async function ask(path: string, headers: IncomingHttpHeaders = {}) {
    const stream = client.request({ ':path': path, ...headers })
    const [[received], body] = await Promise.all([once(stream, 'response'), buffer(stream)])
    return { headers: received as IncomingHttpHeaders & { ':status': number }, body }
  }

  it('compresses whole bodies and pieces', async () => {
    const whole = await ask('/rows', { 'accept-encoding': 'gzip', cookie: 'a=1' })
    expect(whole.headers).toMatchObject({ ':status': 200, 'content-encoding': 'gzip', vary: 'Accept-Encoding' })
    expect(JSON.parse(zlib.gunzipSync(whole.body).toString())).toEqual(rows)
    const streamed = await ask('/pieces', { 'accept-encoding': 'br' })
    expect(streamed.headers).toMatchObject({ 'content-encoding': 'br', vary: 'Accept-Encoding' })
    expect(zlib.brotliDecompressSync(streamed.body).toString().split('\n')).toHaveLength(rows.length + 1)
    const identity = await ask('/pieces')
    expect(identity.headers).not.toHaveProperty('content-encoding')
    expect(identity.headers.vary).toBe('Accept-Encoding')
  })

  it('answers from the cache, encoded, and with 304', async () => {
    const first = await ask('/rows', { 'accept-encoding': 'gzip' })
    const second = await ask('/rows', { 'accept-encoding': 'gzip' })
    expect(first.headers['cache-status']).toBe('posthaste; fwd=miss; stored')
    expect(second.headers).toMatchObject({ 'cache-status': 'posthaste; hit', age: '0', etag: first.headers.etag })
    expect(second.body.equals(first.body)).toBe(true)
    const { headers, body } = await ask('/rows', {
      'accept-encoding': 'gzip',
      'if-none-match': first.headers.etag,
    })
    expect([headers[':status'], body.length]).toEqual([304, 0])
    expect(runs).toBe(1)
  })

  it('keeps apart the hosts that clients name as the authority', async () => {
    for (const authority of ['a.example', 'b.example', 'a.example']) await ask('/rows', { ':authority': authority })
    expect(runs).toBe(2)
  })
})
