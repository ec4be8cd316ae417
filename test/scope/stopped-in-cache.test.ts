import { setTimeout as sleep } from 'node:timers/promises'
import { type Cache, createCache, PerformanceMonitor, requestScope } from 'posthaste'
import { describe, expect, it, onTestFinished } from 'vitest'
import { ask } from '../support/answering.ts'
import { cachingOnNode } from '../support/caching.ts'

describe.each(cachingOnNode)('on %s, a handler that its deadline has stopped', (_name, start) => {
  it.each([200, 404, 500])('answers %d, and those that waited for it run their own', async (status) => {
    const monitor = new PerformanceMonitor({ sampleInterval: false })
    const cache = createCache() as unknown as Cache
    let runs = 0
    const answer = async () => {
      runs += 1
      if (runs > 1) return { body: 'text' }
      const { signal } = requestScope() as { readonly signal: AbortSignal }
      const isStopped = await sleep(10_000, false, { signal }).catch(() => true)
      return { status: isStopped ? status : 200, body: 'stopped' }
    }
    const { port, close } = await start(cache, answer, {}, { monitor, deadline: '200ms' })
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
      [status, 'stopped', `posthaste; fwd=miss; detail=${status === 200 ? 'deadline' : 'status'}`],
      [200, 'text', 'posthaste; hit'],
    ])
  })
})
