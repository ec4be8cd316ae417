import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import type { Cache, PerformanceMonitor } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { onTestFinished } from 'vitest'

/** What a handler may do, whatever the framework. */
export interface Exchange {
  header(name: string): string | undefined
  set(name: string, value: string): void
}

/** Returns the body to send as JSON, or pieces of text to stream. */
export type Handler = (exchange: Exchange) => Promise<unknown>

export interface AppOptions {
  readonly monitor: PerformanceMonitor
  readonly cache: Cache
  readonly monitorOptions?: { readonly deadline?: `${number}ms`; readonly serverTiming?: 'authorized' | false }
  readonly authorize?: 'public' | { readonly bearer: string }
  /** The options of `freshness` on `/fresh`. `key` gets the header `authorization`. */
  readonly freshness?: { readonly tags?: readonly string[]; readonly key?: boolean; readonly vary?: readonly string[] }
  readonly handler: Handler
}

/** One application with the routes `/plain`, `/fresh` and `/cached`, on each framework. Returns its URL. */
export const apps: Readonly<Record<string, (options: AppOptions) => Promise<string>>> = {
  Express: startExpress,
  Fastify: startFastify,
  'Fastify, as a plugin': (options) => startFastify(options, true),
  Hono: startHono,
}

const keyOf = (authorization: string | undefined) => [authorization ?? null]
const cacheOptions = { tags: 'auto', query: 'all' } as const

async function startExpress({
  monitor,
  cache,
  monitorOptions,
  authorize,
  freshness = {},
  handler,
}: AppOptions): Promise<string> {
  const app = express()
  app.use(onExpress.monitorRequests(monitor, monitorOptions))
  if (authorize !== undefined) app.use(onExpress.performanceRoutes(monitor, { authorize }))
  const { key, ...rest } = freshness
  const check = onExpress.freshness(cache, {
    ...rest,
    ...(key && { key: ({ headers }: { headers: Record<string, unknown> }) => keyOf(headers.authorization as string) }),
  } as never)
  const handle: express.RequestHandler = async (request, response) => {
    const exchange: Exchange = {
      header: (name) => request.headers[name] as string | undefined,
      set: (name, value) => response.setHeader(name, value),
    }
    const body = await handler(exchange)
    if (!isPieces(body)) {
      response.json(body)
      return
    }
    for await (const piece of body) response.write(piece)
    response.end()
  }
  app.get('/plain', handle)
  app.get('/fresh', check as never, handle)
  app.get('/cached', onExpress.cacheResponses(cache, cacheOptions) as never, handle)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return urlOf(server.address())
}

async function startFastify(
  { monitor, cache, monitorOptions, authorize, freshness = {}, handler }: AppOptions,
  isPlugin = false,
): Promise<string> {
  const app = fastify()
  await app.register(onFastify.monitorRequests, { monitor, ...monitorOptions })
  if (authorize !== undefined) await app.register(onFastify.performanceRoutes, { monitor, authorize })
  await app.register(onFastify.cacheResponses, { cache })
  await app.register(onFastify.freshness, { cache })
  const { key, ...rest } = freshness
  const options: onFastify.FreshnessOptions<import('fastify').FastifyRequest> = {
    ...rest,
    ...(key && { key: ({ headers }: import('fastify').FastifyRequest) => keyOf(headers.authorization) }),
  } as never
  const handle = async (request: import('fastify').FastifyRequest, reply: import('fastify').FastifyReply) => {
    const exchange: Exchange = {
      header: (name) => request.headers[name] as string | undefined,
      set: (name, value) => reply.header(name, value),
    }
    const body = await handler(exchange)
    return isPieces(body) ? reply.send((await import('node:stream')).Readable.from(body)) : body
  }
  app.get('/plain', handle)
  if (isPlugin) app.get('/fresh', { config: { freshness: options } }, handle)
  else app.get('/fresh', { ...onFastify.freshness(cache as never, options) }, handle)
  app.get('/cached', { config: { cache: cacheOptions } }, handle)
  onTestFinished(() => app.close())
  return app.listen({ port: 0, host: '127.0.0.1' })
}

async function startHono({
  monitor,
  cache,
  monitorOptions,
  authorize,
  freshness = {},
  handler,
}: AppOptions): Promise<string> {
  const app = new Hono()
  app.use(onHono.monitorRequests(monitor, monitorOptions))
  if (authorize !== undefined) app.use(onHono.performanceRoutes(monitor, { authorize }))
  const { key, ...rest } = freshness
  const check = onHono.freshness(cache, {
    ...rest,
    ...(key && { key: (c: import('hono').Context) => keyOf(c.req.header('authorization')) }),
  } as never)
  const handle = async (c: import('hono').Context) => {
    const body = await handler({ header: (name) => c.req.header(name), set: (name, value) => c.header(name, value) })
    if (!isPieces(body)) return c.json(body as object)
    return c.body(ReadableStream.from(body).pipeThrough(new TextEncoderStream()) as never)
  }
  app.get('/plain', handle)
  app.get('/fresh', check, handle)
  app.get('/cached', onHono.cacheResponses(cache, cacheOptions), handle)
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  return urlOf(server.address())
}

function isPieces(body: unknown): body is AsyncIterable<string> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

function urlOf(address: unknown): string {
  return `http://127.0.0.1:${(address as AddressInfo).port}`
}
