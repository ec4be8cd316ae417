import { once } from 'node:events'
import { createServer, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import fc from 'fast-check'
import fastify from 'fastify'
import { Hono } from 'hono'
import { type Cache, createCache } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/** What one client sends. */
interface Client {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

/** The handler's answer depends on the request as the headers allow it: `Vary`, `private`, or nothing. */
function answerFor({ path, headers }: Client): {
  status: number
  set: Record<string, string>
  remove: string[]
  body: string
} {
  const common = { 'content-type': 'text/plain', 'x-handler': path }
  const language = headers['accept-language'] ?? 'none'
  const who = headers.cookie ?? headers.authorization ?? headers['x-session-token'] ?? 'nobody'
  if (path.startsWith('/vary')) {
    return { status: 200, set: { ...common, vary: 'Accept-Language' }, remove: [], body: `${path} in ${language}` }
  }
  if (path.startsWith('/private')) {
    return { status: 200, set: { ...common, 'cache-control': 'private' }, remove: [], body: `${path} for ${language}` }
  }
  if (path.startsWith('/missing')) return { status: 404, set: common, remove: [], body: path }
  // Sets what outer middleware sets too, or removes it.
  const set = path.startsWith('/same') ? { ...common, 'x-outer': 'client a' } : common
  return { status: 200, set, remove: path.startsWith('/removes') ? ['x-outer'] : [], body: `${path} for ${who}` }
}

/** Middleware around the cache sets for each client before the handler, and after it. */
const outerBefore = (headers: Readonly<Record<string, unknown>>) => `client ${headers['x-request-id'] ?? 'none'}`

type Start = (cache: Cache | undefined) => Promise<{ port: number; close(): Promise<unknown> }>
const options = { query: ['page'], ttl: '1m' } as const

const starts: Readonly<Record<string, Start>> = {
  async Express(cache) {
    const app = express()
    app.use((request, response, next) => {
      response.setHeader('x-outer', outerBefore(request.headers))
      const { writeHead } = response
      response.writeHead = (...args: unknown[]) => {
        response.setHeader('x-after', outerBefore(request.headers))
        return writeHead.apply(response, args as never)
      }
      next()
    })
    const caching = cache
      ? onExpress.cacheResponses(cache, options)
      : (_request: unknown, _response: unknown, next: () => void) => next()
    app.get('/{*path}', caching as express.RequestHandler, (request, response) => {
      const { status, set, remove, body } = answerFor({ path: request.originalUrl, headers: request.headers as never })
      for (const name of remove) response.removeHeader(name)
      response.status(status).set(set)
      response.end(body)
    })
    const server = createServer(app).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return closable(server)
  },
  async Fastify(cache) {
    const app = fastify({ forceCloseConnections: true })
    app.addHook('onRequest', async (request, reply) => void reply.header('x-outer', outerBefore(request.headers)))
    app.addHook('onSend', async (request, reply) => void reply.header('x-after', outerBefore(request.headers)))
    if (cache) await app.register(onFastify.cacheResponses, { cache })
    app.get('/*', { config: cache ? { cache: options } : {} }, async (request, reply) => {
      const { status, set, remove, body } = answerFor({ path: request.url, headers: request.headers as never })
      for (const name of remove) reply.removeHeader(name)
      return reply.code(status).headers(set).send(body)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return { port: (app.server.address() as AddressInfo).port, close: () => app.close() }
  },
  async Hono(cache) {
    const app = new Hono()
    app.use(async (c, next) => {
      c.header('x-outer', outerBefore(c.req.header()))
      await next()
      c.header('x-after', outerBefore(c.req.header()))
    })
    app.get('/*', cache ? onHono.cacheResponses(cache, options) : (_c, next) => next(), (c) => {
      const { pathname, search } = new URL(c.req.url)
      const { status, set, remove, body } = answerFor({ path: pathname + search, headers: c.req.header() })
      for (const name of remove) c.header(name, undefined)
      return c.body(body, status as 200, set)
    })
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as ReturnType<typeof createServer>
    await once(server, 'listening')
    return closable(server)
  },
}

function closable(server: ReturnType<typeof createServer>) {
  const close = async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }
  return { port: (server.address() as AddressInfo).port, close }
}

function ask(port: number, { path, headers }: Client): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', port, path, headers, agent: false }, async (response) => {
      let body = ''
      for await (const chunk of response) body += chunk
      const {
        status,
        'x-handler': handler,
        'x-outer': outer,
        'x-after': after,
        'content-type': type,
      } = response.headers as Record<string, unknown>
      resolve({ status: response.statusCode ?? status, handler, outer, after, type, body })
    })
    request.on('error', reject).end()
  })
}

const client = fc.record({
  path: fc
    .tuple(
      fc.constantFrom('/plain', '/vary', '/private', '/missing', '/removes', '/same'),
      fc.constantFrom('', '?page=1', '?page=2', '??page=1', '?debug=1'),
    )
    .map((parts) => parts.join('')),
  headers: fc
    .array(
      fc.constantFrom<[string, string]>(
        ...([
          ['accept-language', 'de'],
          ['accept-language', 'en'],
          ['x-request-id', 'a'],
          ['x-request-id', 'b'],
          ['cookie', 'c=1'],
          ['cookie', 'c=2'],
          ['authorization', 'x'],
          ['x-session-token', '1'],
          ['x-session-token', '2'],
          ['x-forwarded-prefix', '/p'],
          ['origin', 'http://o'],
        ] as [string, string][]),
      ),
      { maxLength: 3 },
    )
    .map((pairs): Record<string, string> => Object.fromEntries(pairs)),
})

/** Clients that come together, round by round. Few different ones, so that some come again. */
const rounds = fc.array(client, { minLength: 1, maxLength: 5 }).chain((clients) => {
  const together = fc.array(fc.constantFrom(...clients), { minLength: 1, maxLength: 4 })
  return fc.array(together, { maxLength: 6 })
})

describe.each(Object.entries(starts))('on %s', (_name, start) => {
  let plain: Awaited<ReturnType<Start>>
  let cached: Awaited<ReturnType<Start>>
  const cache = createCache() as unknown as Cache
  beforeAll(async () => {
    plain = await start(undefined)
    cached = await start(cache)
  })
  afterAll(async () => {
    await plain.close()
    await cached.close()
    await cache.close()
  })

  it('every client gets what it would get without the cache', async () => {
    await fc.assert(
      fc.asyncProperty(rounds, async (rounds) => {
        await cache.clear()
        for (const together of rounds) {
          const given = await Promise.all(together.map((one) => ask(cached.port, one)))
          const expected = await Promise.all(together.map((one) => ask(plain.port, one)))
          expect(given).toEqual(expected)
        }
      }),
      { numRuns: Number(process.env.RUNS ?? 60), seed: Number(process.env.SEED ?? 20_26) },
    )
    expect(cache.stats().hits).toBeGreaterThan(0)
  }, 600_000)
})
