import { DatabaseSync } from 'node:sqlite'
import type express5 from 'express'
import { SqliteDialect } from 'kysely'
import { type Cache, createCache, instrument, nodeSqlite } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { answering, ask, type Installation } from '../support/answering.ts'

const auto = { tags: 'auto' } as const

/** `freshness` within `cacheResponses`: the cache runs it with the handler. */
function bothOn(cache: Cache): Installation {
  const middleware = [onExpress.cacheResponses(cache, auto), onExpress.freshness(cache)]
  return {
    async fastify(app) {
      await app.register(onFastify.cacheResponses, { cache })
      await app.register(onFastify.freshness, { cache })
    },
    hono(app) {
      app.use('/*', onHono.cacheResponses(cache, auto))
    },
    route: {
      express: middleware as unknown as express5.RequestHandler,
      fastify: { cache: auto, freshness: {} },
      hono: onHono.freshness(cache),
    },
  }
}

describe.each(Object.entries(answering))('`freshness` within `cacheResponses` on %s', (_name, start) => {
  it('leaves the cache the tags that the handler reads', async () => {
    // From now on, a handler without tags is one that reads nothing.
    instrument({ dialect: new SqliteDialect({ database: nodeSqlite(new DatabaseSync(':memory:')) }) })
    const cache = createCache()
    let version = 1
    const read = () => cache.getOrSet('version', () => Promise.resolve(version), { tags: ['version'] })
    const { port, close } = await start(async () => ({ body: `version ${await read()}` }), bothOn(cache))
    onTestFinished(async () => {
      await close()
      await cache.close()
    })
    const answers = [await ask(port), await ask(port)]
    version = 2
    await cache.invalidateTags('version')
    answers.push(await ask(port))
    expect(answers.map(({ headers, body }) => [headers['cache-status'], String(body)])).toEqual([
      ['posthaste; fwd=miss; stored', 'version 1'],
      ['posthaste; hit', 'version 1'],
      ['posthaste; fwd=miss; stored', 'version 2'],
    ])
  })
})

describe('`freshness` around `cacheResponses` on Fastify', () => {
  it('answers HEAD as GET', async () => {
    const cache = createCache()
    const answer = () => ({ body: 'text', headers: { 'content-type': 'text/plain' } })
    const start = answering.Fastify as NonNullable<(typeof answering)[string]>
    const { port, close } = await start(answer, {
      async fastify(app) {
        await app.register(onFastify.freshness, { cache })
        await app.register(onFastify.cacheResponses, { cache })
      },
      route: { fastify: { cache: { tags: ['text'] }, freshness: { tags: ['text'] } } },
    })
    onTestFinished(async () => {
      await close()
      await cache.close()
    })
    await ask(port)
    const { etag = '' } = (await ask(port)).headers
    for (const headers of [{}, { 'if-none-match': etag }] as Record<string, string>[]) {
      const [get, head] = [await ask(port, { headers }), await ask(port, { method: 'HEAD', headers })]
      expect([head.status, head.headers]).toEqual([get.status, { ...get.headers, date: head.headers.date }])
    }
  })
})
