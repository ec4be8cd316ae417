import type { AddressInfo } from 'node:net'
import express, { type ErrorRequestHandler } from 'express'
import express4 from 'express4'
import fastify from 'fastify'
import { Hono } from 'hono'
import { createCache } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'

type Feature = 'cacheResponses' | 'freshness'
type Ask = (headers: Record<string, string>) => Promise<Response>

/** How middleware around fails when it sees the head of an answer. */
type Failing = 'filter' | 'hook'

const tags = { tags: ['table:users'] as const }
let fails = false
/** A function of the user's own that fails at the second answer, for example because a 304 has no `Content-Type`. */
function failing(): true {
  if (fails) throw new Error('the head is wrong')
  return true
}

const onExpressOf = (framework: typeof express) => async (feature: Feature, way: Failing) => {
  const app = framework()
  if (way === 'filter') app.use(onExpress.compressResponses({ filter: failing }))
  else {
    // As the package `on-headers` calls its listeners.
    app.use((_request, response, next) => {
      const { writeHead } = response
      response.writeHead = (...args: unknown[]) => failing() && writeHead.apply(response, args as never)
      next()
    })
  }
  const middleware =
    feature === 'freshness' ? onExpress.freshness(createCache(), tags) : onExpress.cacheResponses(createCache(), tags)
  app.get('/', middleware, (_request, response) => {
    response.send('answer')
  })
  const handleError: ErrorRequestHandler = (error, _request, response, _next) => {
    fails = false
    response.status(500).send(error.message)
  }
  app.use(handleError)
  const server = app.listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  return (headers: Record<string, string>) =>
    fetch(`http://127.0.0.1:${port}/`, { headers, signal: AbortSignal.timeout(5_000) })
}

const starts: Readonly<Record<string, (feature: Feature, way: Failing) => Promise<Ask>>> = {
  express: onExpressOf(express),
  express4: onExpressOf(express4 as unknown as typeof express),

  async fastify(feature, way) {
    const app = fastify()
    onTestFinished(() => app.close())
    const cache = createCache()
    if (way === 'filter') await app.register(onFastify.compressResponses, { filter: failing })
    else app.addHook('onSend', async () => void failing())
    await app.register(onFastify.cacheResponses, { cache })
    await app.register(onFastify.freshness, { cache })
    const config = feature === 'freshness' ? { freshness: tags } : { cache: tags }
    app.get('/', { config }, async () => 'answer')
    app.setErrorHandler((error: Error, _request, reply) => {
      fails = false
      reply.code(500).send(error.message)
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const { port } = app.server.address() as AddressInfo
    return (headers) => fetch(`http://127.0.0.1:${port}/`, { headers, signal: AbortSignal.timeout(5_000) })
  },

  async hono(feature, way) {
    const app = new Hono()
    if (way === 'filter') app.use(onHono.compressResponses({ filter: failing }))
    else {
      app.use(async (_c, next) => {
        await next()
        failing()
      })
    }
    const middleware =
      feature === 'freshness' ? onHono.freshness(createCache(), tags) : onHono.cacheResponses(createCache(), tags)
    app.get('/', middleware, (c) => c.text('answer'))
    app.onError((error) => new Response(error.message, { status: 500 }))
    return async (headers) => app.request('/', { headers })
  },
}

describe.each(Object.entries(starts))('on %s', (framework, start) => {
  describe.each(['cacheResponses', 'freshness'] as const)('%s', (feature) => {
    // The cache on Fastify encodes its answers itself, and asks no filter.
    const ways: readonly Failing[] =
      framework === 'fastify' && feature === 'cacheResponses' ? ['hook'] : ['filter', 'hook']
    it.each(ways)('leaves what a %s throws at its 304 to the error handler', async (way) => {
      fails = false
      const ask = await start(feature, way)
      const first = await ask({})
      const etag = first.headers.get('etag') as string
      await first.text()

      fails = true
      const second = await ask({ 'if-none-match': etag })
      const third = await ask({ 'if-none-match': etag })

      expect([second.status, await second.text()]).toEqual([500, 'the head is wrong'])
      expect(third.status).toBe(framework === 'hono' ? 500 : 304)
    })
  })
})
