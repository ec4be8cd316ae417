import { setTimeout as sleep } from 'node:timers/promises'
import type express5 from 'express'
import { type Cache, createCache, PerformanceMonitor, requestScope } from 'posthaste'
import * as onExpress from 'posthaste/express'
import * as onFastify from 'posthaste/fastify'
import * as onHono from 'posthaste/hono'
import { describe, expect, it, onTestFinished } from 'vitest'
import { answering, ask, type Installation } from '../support/answering.ts'

const deadline = '200ms'

function install(monitor: PerformanceMonitor, cache: Cache): Installation {
  return {
    express: (app) => void app.use(onExpress.monitorRequests(monitor, { deadline })),
    async fastify(app) {
      await app.register(onFastify.monitorRequests, { monitor, deadline })
      await app.register(onFastify.cacheResponses, { cache })
    },
    hono: (app) => void app.use(onHono.monitorRequests(monitor, { deadline })),
    route: {
      express: onExpress.cacheResponses(cache) as unknown as express5.RequestHandler,
      fastify: { cache: {} },
      hono: onHono.cacheResponses(cache),
    },
  }
}

describe.each(Object.entries(answering))('on %s, a handler that its deadline has stopped', (_name, start) => {
  it.each([404, 500])('answers %d, and those that waited for it run their own', async (status) => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const cache = createCache() as unknown as Cache
    let runs = 0
    const { port, close } = await start(
      async () => {
        runs += 1
        if (runs > 1) return { body: 'text' }
        const { signal } = requestScope() as { readonly signal: AbortSignal }
        const isStopped = await sleep(10_000, false, { signal }).catch(() => true)
        return { status: isStopped ? status : 200, body: 'stopped' }
      },
      install(monitor, cache),
    )
    onTestFinished(async () => {
      await close()
      await cache.close()
      await monitor.close()
    })
    const stopped = ask(port)
    await sleep(100)
    const answers = [await ask(port), await stopped, await ask(port)]
    expect(answers.map((answer) => [answer.status, String(answer.body), answer.headers['cache-status']])).toEqual([
      [200, 'text', 'posthaste; fwd=miss; stored'],
      [status, 'stopped', 'posthaste; fwd=miss; detail=status'],
      [200, 'text', 'posthaste; hit'],
    ])
  })
})
