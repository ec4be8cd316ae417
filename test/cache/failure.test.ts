import { type Cache, createCache } from 'posthaste'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Server, startRedis } from '../support/servers.ts'
import { services } from '../support/services.ts'
import { connect, until } from './support.ts'

/** The most that timers of a busy machine may add. */
const slackMs = 150
const deadlineMs = 250

describe.skipIf(!services.redis)('a cache whose Redis fails', () => {
  let server: Server
  let cache: Cache
  let other: Cache
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => unhandled.push(error)

  beforeEach(async ({ skip }) => {
    const started = await startRedis()
    if (started === undefined) return skip('there is no redis-server to start')
    server = started
    cache = createCache({ redis: server.url, namespace: 'failure' })
    other = createCache({ redis: server.url, namespace: 'failure' })
    unhandled.length = 0
    process.on('unhandledRejection', onUnhandled)
    process.on('uncaughtException', onUnhandled)
  })
  afterEach(async () => {
    server.process.kill('SIGCONT')
    await Promise.all([cache.close(), other.close()])
    await server.stop()
    process.off('unhandledRejection', onUnhandled)
    process.off('uncaughtException', onUnhandled)
    expect(unhandled).toEqual([])
  })

  /** Milliseconds that a call takes. */
  async function timed(call: () => Promise<unknown>): Promise<number> {
    const start = performance.now()
    await call()
    return performance.now() - start
  }

  const failures = {
    SIGKILL: {
      break: () => server.process.kill('SIGKILL'),
      mend: async () => {
        await server.stop()
        server = (await startRedis([], server.port)) as Server
      },
    },
    SIGSTOP: {
      break: () => server.process.kill('SIGSTOP'),
      mend: async () => void server.process.kill('SIGCONT'),
    },
  }

  describe.each(Object.entries(failures))('by %s', (signal, failure) => {
    it('answers every call, within the deadline and then at once', async () => {
      await cache.getOrSet('hot', () => 'stored', { tags: ['tag'] })
      failure.break()
      expect(await timed(() => cache.getOrSet('hot', () => 'loaded', { tags: ['tag'] }))).toBeLessThan(slackMs)
      for (let miss = 0; miss < 4; miss++) {
        const ms = await timed(() => cache.getOrSet(['cold', miss], () => miss))
        expect(ms).toBeLessThan(deadlineMs + slackMs)
      }
      await until(() => cache.stats().store.state === 'down')
      for (let miss = 0; miss < 20; miss++) {
        expect(await timed(() => cache.getOrSet(['colder', miss], () => miss))).toBeLessThan(slackMs)
        expect(await timed(() => cache.set(['set', miss], miss))).toBeLessThan(slackMs)
        expect(await timed(() => cache.invalidateTags('other'))).toBeLessThan(slackMs)
      }
      const { errors, errorRate, errorsByKind } = cache.stats()
      expect(errorsByKind.refused).toBeGreaterThan(20)
      expect(signal === 'SIGSTOP' ? errorsByKind.timeout : errorsByKind.connection).toBeGreaterThan(0)
      expect(errors).toBe(Object.values(errorsByKind).reduce((sum, count) => sum + count))
      expect(errorRate).toBeGreaterThan(0.05)
    })

    it('applies here at once what it could not send, and everywhere within 3 seconds of recovery', async () => {
      await cache.getOrSet('key', () => 'old', { tags: ['tag'] })
      expect(await other.getOrSet('key', () => 'never', { tags: ['tag'] })).toBe('old')
      failure.break()
      expect(await cache.invalidateTags('tag')).toEqual({ propagated: false, queued: true })
      expect(cache.stats().store.queuedInvalidations).toBe(1)
      expect(await cache.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe('new')
      await failure.mend()
      await until(() => cache.stats().store.state === 'up', 3_000)
      expect(cache.stats().store.queuedInvalidations).toBe(0)
      await until(async () => (await other.getOrSet('key', () => 'new', { tags: ['tag'] })) === 'new', 3_000)
      expect(await cache.invalidateTags('tag')).toEqual({ propagated: true, queued: false })
    })

    it('answers hundreds of calls a second while it breaks and mends', async () => {
      await cache.get('warm')
      let asked = 0
      let answered = 0
      let slowest = 0
      let isOver = false
      const load = async () => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        return 'value'
      }
      const ask = async () => {
        const key = ['key', asked++ % 50]
        slowest = Math.max(slowest, await timed(() => cache.getOrSet(key, load, { tags: ['tag'], ttl: '100ms' })))
        answered++
      }
      const clients = Array.from({ length: 20 }, async () => {
        while (!isOver) {
          await ask()
          // Hits follow upon hits without the event loop ever turning.
          await new Promise((resolve) => setImmediate(resolve))
        }
      })
      await new Promise((resolve) => setTimeout(resolve, 200))
      failure.break()
      await new Promise((resolve) => setTimeout(resolve, 700))
      await failure.mend()
      await until(() => cache.stats().store.state === 'up', 3_000)
      isOver = true
      await Promise.all(clients)
      expect(answered).toBe(asked)
      expect(answered).toBeGreaterThan(500)
      // A write may wait for its deadline after a read has waited for its own.
      expect(slowest).toBeLessThan(2 * deadlineMs + slackMs)
    })

    it('serves from memory no longer than `coherence.within` what it cannot verify', async () => {
      const careful = createCache({ redis: server.url, namespace: 'failure', coherence: { within: '300ms' } })
      await careful.getOrSet('key', () => 'first')
      failure.break()
      expect(await careful.getOrSet('key', () => 'second')).toBe('first')
      await new Promise((resolve) => setTimeout(resolve, 600))
      expect(await careful.getOrSet('key', () => 'second')).toBe('second')
      await careful.close()
    })
  })

  it('works before Redis is there, and with it once it is', async () => {
    const { port } = server
    await server.stop()
    const early = createCache({ redis: `redis://127.0.0.1:${port}`, namespace: 'failure' })
    expect(await timed(() => early.getOrSet('key', () => 'loaded'))).toBeLessThan(deadlineMs + slackMs)
    server = (await startRedis([], port)) as Server
    await until(() => early.stats().store.state === 'up', 3_000)
    expect(await early.set('key', 'stored')).toBe(true)
    await early.close()
  })

  it('takes a block of the event loop for no timeout', async () => {
    const impatient = createCache({
      redis: server.url,
      namespace: 'failure',
      timeouts: { store: '100ms' },
      memory: false,
    })
    await impatient.set('key', 'value')
    for (let round = 0; round < 20; round++) {
      const answer = impatient.get('key')
      if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      const end = performance.now() + 150
      while (performance.now() < end);
      expect(await answer).toBe('value')
    }
    expect(impatient.stats().errors).toBe(0)
    await impatient.close()
  })

  it('never serves again what was there before FLUSHALL or the loss of its clock', async () => {
    const client = await connect(server.url)
    for (const lose of [() => client.flushAll(), () => client.del('{failure}:clock')]) {
      await cache.getOrSet('key', () => 'old', { tags: ['tag'] })
      await other.getOrSet('key', () => 'old', { tags: ['tag'] })
      await lose()
      await cache.invalidateTags('tag')
      expect(await cache.getOrSet('key', () => 'new', { tags: ['tag'] })).toBe('new')
      await until(async () => (await other.getOrSet('key', () => 'new', { tags: ['tag'] })) === 'new', 2_000)
      await cache.delete('key')
    }
    client.destroy()
  })

  it('tells of its state as it changes', async () => {
    const states: string[] = []
    await cache.get('warm')
    cache.on('state', ({ state }) => states.push(state))
    server.process.kill('SIGSTOP')
    await cache.invalidateTags('tag')
    server.process.kill('SIGCONT')
    await until(() => states.at(-1) === 'up')
    expect(states).toEqual(['degraded', 'down', 'up'].slice(-states.length))
    expect(states).toContain('down')
  })
})
