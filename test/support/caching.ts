import { once } from 'node:events'
import type { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import type * as express5 from 'express'
import type { Cache, HttpCacheOptions, PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { type Answerer, type Answering, answering, bytesOf, type Installation } from './answering.ts'

/** Options that mean the same in each framework; `key` is given the request's headers. */
export interface CachingOptions extends Omit<HttpCacheOptions, 'key' | 'tags'> {
  readonly tags?: readonly string[]
  readonly key?: (header: (name: string) => string | undefined) => readonly unknown[] | null
}

/** What else is put in front of the route. */
export interface CachingSetup {
  readonly compress?: boolean
  readonly monitor?: PerformanceMonitor
  /** Of the requests that `monitor` measures. */
  readonly deadline?: '200ms'
}

type Start = (cache: Cache, answer: Answerer, options?: CachingOptions, setup?: CachingSetup) => Promise<Answering>

/** One cached route on each framework, and behind `cache.http`. */
export const caching: Readonly<Record<string, Start>> = {
  'Express 4': (cache, answer, options, setup) => start('Express 4', cache, answer, options, setup),
  'Express 5': (cache, answer, options, setup) => start('Express 5', cache, answer, options, setup),
  Fastify: (cache, answer, options, setup) => start('Fastify', cache, answer, options, setup),
  Hono: (cache, answer, options, setup) => start('Hono', cache, answer, options, setup),
  'cache.http': startFetch,
}

/** Those with a response of Node that a client can leave, and scopes for requests: not `cache.http`. */
export const cachingOnNode: readonly [name: string, start: Start][] = Object.entries(caching).filter(
  ([name]) => name !== 'cache.http',
)

function start(name: string, cache: Cache, answer: Answerer, options: CachingOptions = {}, setup: CachingSetup = {}) {
  const { key, ...rest } = options
  const nodeKey = key && {
    key: (request: { headers: Record<string, unknown> }) => key((of) => request.headers[of] as string | undefined),
  }
  const honoKey = key && {
    key: (c: { req: { header(of: string): string | undefined } }) => key((of) => c.req.header(of)),
  }
  const { monitor, deadline } = setup
  const install: Installation = {
    express(app) {
      if (monitor) app.use(onExpress.monitorRequests(monitor, { deadline }))
      if (setup.compress) app.use(onExpress.compressResponses() as express5.RequestHandler)
    },
    async fastify(app) {
      if (monitor) await app.register(onFastify.monitorRequests, { monitor, deadline })
      if (setup.compress) await app.register(onFastify.compressResponses, {})
      await app.register(onFastify.cacheResponses, { cache })
    },
    hono(app) {
      if (monitor) app.use(onHono.monitorRequests(monitor, { deadline }))
      if (setup.compress) app.use(onHono.compressResponses())
    },
    route: {
      express: onExpress.cacheResponses(cache, { ...rest, ...(nodeKey as object) }) as express5.RequestHandler,
      fastify: { cache: { ...rest, ...nodeKey } },
      hono: onHono.cacheResponses(cache, { ...rest, ...(honoKey as object) }),
    },
  }
  return (answering[name] as NonNullable<(typeof answering)[string]>)(answer, install)
}

async function startFetch(cache: Cache, answer: Answerer, options: CachingOptions = {}): Promise<Answering> {
  const { key, ...rest } = options
  const handler = cache.http(
    async (request) => {
      const { pathname, search } = new URL(request.url)
      const { method } = request
      const answered = await answer({ method, url: pathname + search, headers: Object.fromEntries(request.headers) })
      const { status = 200, body, pieces, headers } = answered
      const content = pieces === undefined ? (body as string | undefined) : ReadableStream.from(bytesOf(pieces()))
      return new Response(content ?? null, { status, headers: { ...headers } })
    },
    { ...rest, ...(key && { key: (request: Request) => key((of) => request.headers.get(of) ?? undefined) }) },
  )
  const server = serve({ fetch: handler, port: 0, hostname: '127.0.0.1' }) as ReturnType<typeof createServer>
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}
