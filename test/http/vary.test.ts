import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import express from 'express'
import fastify from 'fastify'
import { Hono } from 'hono'
import { createCache } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'

type Start = (feature: 'cacheResponses' | 'freshness', fields: readonly string[]) => Promise<number>

const origin = 'Origin'
const tags = { tags: ['table:users'] as const }

/** An application whose middleware sets `Vary: Origin`, as that for CORS does, and whose handler adds fields of its own. */
const starts: Readonly<Record<string, Start>> = {
  async express(feature, fields) {
    const app = express()
    app.use((_request, response, next) => {
      response.setHeader('vary', origin)
      next()
    })
    const middleware =
      feature === 'freshness' ? onExpress.freshness(createCache(), tags) : onExpress.cacheResponses(createCache(), tags)
    app.get('/', middleware, (_request, response) => {
      for (const field of fields) response.append('vary', field)
      response.send('answer')
    })
    const server = app.listen(0, '127.0.0.1')
    onTestFinished(() => void server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    return (server.address() as AddressInfo).port
  },

  async fastify(feature, fields) {
    const app = fastify()
    onTestFinished(() => app.close())
    app.addHook('onRequest', async (_request, reply) => void reply.header('vary', origin))
    const cache = createCache()
    await app.register(onFastify.cacheResponses, { cache })
    await app.register(onFastify.freshness, { cache })
    const config = feature === 'freshness' ? { freshness: tags } : { cache: tags }
    app.get('/', { config }, async (_request, reply) => {
      reply.header('vary', [origin, ...fields])
      return 'answer'
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return (app.server.address() as AddressInfo).port
  },

  async hono(feature, fields) {
    const app = new Hono()
    app.use(async (c, next) => {
      c.header('vary', origin)
      await next()
    })
    const middleware =
      feature === 'freshness' ? onHono.freshness(createCache(), tags) : onHono.cacheResponses(createCache(), tags)
    app.get('/', middleware, (c) => {
      for (const field of fields) c.header('vary', field, { append: true })
      return c.text('answer')
    })
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
    onTestFinished(() => void server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    return (server.address() as AddressInfo).port
  },
}

const fieldsOfHandlers: readonly (readonly string[])[] = [
  [],
  ['Accept-Language'],
  ['Accept-Language, Save-Data'],
  ['Accept-Language', 'Save-Data'],
  ['Accept-Language,'],
  [',Accept-Language ,, Save-Data'],
  [''],
  [','],
]

describe.each(Object.entries(starts))('on %s', (_framework, start) => {
  describe.each(['cacheResponses', 'freshness'] as const)('%s', (feature) => {
    it.each(fieldsOfHandlers.map((fields) => [fields]))('keeps every name of `Vary`: %j', async (fields) => {
      const port = await start(feature, fields)
      const namesOf = (answer: Response) =>
        new Set((answer.headers.get('vary') ?? '').split(',').flatMap((name) => name.trim().toLowerCase() || []))
      const ask = (headers = {}) => fetch(`http://127.0.0.1:${port}/`, { headers, signal: AbortSignal.timeout(5_000) })

      const first = await ask()
      const second = await ask()
      const unchanged = await ask({ 'if-none-match': first.headers.get('etag') as string })

      const expected = [origin, ...fields].join().split(',')
      const names = expected.flatMap((name) => name.trim().toLowerCase() || [])
      if (feature === 'cacheResponses') expect(second.headers.get('cache-status')).toBe('posthaste; hit')
      expect([first.status, second.status, unchanged.status]).toEqual([200, 200, 304])
      for (const answer of [first, second, unchanged]) {
        expect(namesOf(answer)).toEqual(
          new Set([...names, ...(feature === 'cacheResponses' ? ['accept-encoding'] : [])]),
        )
      }
    })
  })
})
