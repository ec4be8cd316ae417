import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type IncomingMessage, request as send } from 'node:http'
import { finished } from 'node:stream/promises'
import zlib from 'node:zlib'
import type * as express5 from 'express'
import { PerformanceMonitor } from 'posthaste'
import { type CompressResponsesOptions, compressResponses as onExpress } from 'posthaste/express'
import { compressResponses as onFastify } from 'posthaste/fastify'
import { compressResponses as onHono } from 'posthaste/hono'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Answerer, type Answering, answering, ask, type Installation } from '../../support/answering.ts'

const MiB = 1024 * 1024
/** Far more than may be on its way at once; `STREAM_MB=500` for the whole promise. */
const streamBytes = Number(process.env.STREAM_MB ?? 32) * MiB
const text = { 'content-type': 'text/plain' }

function installation(options: CompressResponsesOptions = {}): Installation {
  return {
    express: (app) => void app.use(onExpress(options) as express5.RequestHandler),
    async fastify(app) {
      await app.register(onFastify, options)
    },
    hono: (app) => void app.use(onHono(options)),
  }
}

function open(port: number, coding = 'gzip'): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    send({ host: '127.0.0.1', port, headers: { 'accept-encoding': coding }, agent: false }, resolve)
      .on('error', reject)
      .end()
  })
}

describe.each(Object.entries(answering))('on %s', (name, startServer) => {
  let server: Answering | undefined

  afterEach(async () => {
    vi.restoreAllMocks()
    await server?.close()
    server = undefined
  })

  async function start(answer: Answerer, install = installation()): Promise<number> {
    server = await startServer(answer, install)
    return server.port
  }

  it('ends encoder and source when the client leaves', async () => {
    const created = vi.spyOn(zlib, 'createGzip')
    let ended = 0
    const port = await start(() => ({
      headers: text,
      async *pieces() {
        try {
          for (;;) {
            yield randomBytes(1_000).toString('hex')
            await new Promise((resolve) => setTimeout(resolve, 1))
          }
        } finally {
          ended++
        }
      },
    }))
    const leave = async () => {
      const response = await open(port)
      await once(response, 'data')
      response.destroy()
    }
    await Promise.all(Array.from({ length: 20 }, leave))
    await expect.poll(() => ended).toBe(20)
    const encoders = created.mock.results.map(({ value }) => value as zlib.Gzip)
    expect(encoders).toHaveLength(20)
    await expect.poll(() => encoders.filter(({ destroyed }) => !destroyed)).toEqual([])
  })

  it('waits for a client that does not read, and keeps memory flat', { timeout: 120_000 }, async () => {
    // Random, so that what is written is as long as what is read; longer than the window, so that repeating it is not seen.
    const piece = randomBytes(512 * 1024)
    const count = streamBytes / piece.length
    let produced = 0
    const memoryBefore = process.memoryUsage.rss()
    let mostMemory = memoryBefore
    // The quickest coding: what is measured is what is held, not how small it is.
    const install = installation({ brotliQuality: 0 })
    const port = await start(
      () => ({
        headers: text,
        async *pieces() {
          for (; produced < count; produced++) {
            mostMemory = Math.max(mostMemory, process.memoryUsage.rss())
            yield piece
          }
        },
      }),
      install,
    )
    const response = await open(port, 'br')
    expect(response.headers['content-encoding']).toBe('br')
    await expect
      .poll(async () => {
        const before = produced
        await new Promise((resolve) => setTimeout(resolve, 50))
        return produced > 0 && produced === before
      })
      .toBe(true)

    let read = 0
    let mostHeld = produced * piece.length
    const decoder = response.pipe(zlib.createBrotliDecompress())
    decoder.on('data', (chunk: Buffer) => {
      read += chunk.length
      mostHeld = Math.max(mostHeld, produced * piece.length - read)
    })
    await finished(decoder)
    expect(read).toBe(count * piece.length)
    // In the buffers of streams and sockets, on both sides.
    expect(mostHeld).toBeLessThan(16 * MiB)
    // A shorter stream would fit into what the garbage collector leaves lying.
    if (streamBytes >= 500 * MiB) expect(mostMemory - memoryBefore).toBeLessThan(160 * MiB)
  })

  it('sends pieces on as they come', async () => {
    const gate = Promise.withResolvers<void>()
    const port = await start(() => ({
      headers: text,
      async *pieces() {
        yield 'first'
        await gate.promise
        yield 'second'
      },
    }))
    const response = await open(port)
    const decoder = response.pipe(zlib.createGunzip())
    const [first] = await once(decoder, 'data')
    expect(String(first)).toBe('first')
    gate.resolve()
    const [second] = await once(decoder, 'data')
    expect(String(second)).toBe('second')
  })

  // Express and Fastify correct the length of an answer in one piece.
  it.each(name === 'Hono' ? ['in pieces', 'in one piece'] : ['in pieces'])(
    'keeps an answer cut off that is shorter than it says (%s)',
    async (how) => {
      const body = 'All work and no play makes Jack a dull boy. '.repeat(100)
      const port = await start(() => ({
        headers: { ...text, connection: 'close', 'content-length': String(body.length + 1) },
        ...(how === 'in one piece'
          ? { body }
          : {
              async *pieces() {
                yield body
                await new Promise((resolve) => setTimeout(resolve, 5))
              },
            }),
      }))
      const response = await open(port)
      await finished(response.resume()).catch(() => {})
      expect(response.complete).toBe(false)
    },
  )

  it('leaves the answers of a route that turned it off', async () => {
    const body = 'x'.repeat(5_000)
    const off: Installation = {
      ...installation(),
      route: {
        express: onExpress(false) as express5.RequestHandler,
        fastify: { compress: false },
        hono: onHono(false),
      },
    }
    const pieces = async function* () {
      await new Promise(setImmediate)
      yield 'x'.repeat(5_000)
    }
    const port = await start(({ url }) => ({ headers: text, ...(url === '/pieces' ? { pieces } : { body }) }), off)
    for (const [path, accept, length] of [
      ['/', 'gzip', '5000'],
      ['/', 'identity', '5000'],
      ['/pieces', 'gzip', undefined],
    ] as const) {
      const received = await ask(port, { path, headers: { 'accept-encoding': accept } })
      expect(received.headers).not.toHaveProperty('content-encoding')
      expect(received.headers).not.toHaveProperty('vary')
      expect(received.headers['content-length']).toBe(length)
      expect(received.body.toString()).toBe(body)
    }
  })

  it('shows in the stats document what it saved, by route', async () => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const port = await start(({ url }) => {
      const body = 'xü'.repeat(2_000)
      return url === '/pieces'
        ? {
            headers: text,
            pieces: async function* () {
              await new Promise(setImmediate)
              yield body
            },
          }
        : { headers: text, body }
    }, installation({ monitor }))
    // A second one, for other routes, counts into the same section.
    const other = await startServer(() => ({ headers: text, body: 'xü'.repeat(2_000) }), installation({ monitor }))
    let sentBytes = (await ask(other.port, { headers: { 'accept-encoding': 'gzip' } })).body.length
    await other.close()
    for (const path of ['/whole', '/pieces', '/whole']) {
      sentBytes += (await ask(port, { path, headers: { 'accept-encoding': 'gzip' } })).body.length
    }
    await ask(port, { path: '/whole' })
    const { compression } = monitor.snapshot().additions as { compression: { routes: object[] } }
    const route = expect.stringMatching(/^(\*|\/\*|\/\{\*path\})$/)
    expect(compression.routes).toEqual([{ method: 'GET', route, responses: 4, rawBytes: 24_000, sentBytes }])
    await monitor.close()
  })
})
