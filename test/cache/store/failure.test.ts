import { type Cache, type CacheOptions, createCache } from 'posthaste'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Server, startRedis } from '../../support/servers.ts'
import { services } from '../../support/services.ts'
import { connect, uniqueNamespace, until } from '../support.ts'

/** The most that timers of a busy machine may add. */
const slackMs = 400
const deadlineMs = 250

describe.skipIf(!services.redis)('a cache whose Redis fails', () => {
  let server: Server
  let isKilled = false
  let namespace: string
  let cache: Cache
  let other: Cache
  const caches: Cache[] = []
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => unhandled.push(error)

  beforeAll(async () => {
    server = (await startRedis()) as Server
    process.on('unhandledRejection', onUnhandled)
    process.on('uncaughtException', onUnhandled)
  })
  afterAll(async () => {
    process.off('unhandledRejection', onUnhandled)
    process.off('uncaughtException', onUnhandled)
    await server?.stop()
  })
  beforeEach(({ skip }) => {
    if (server === undefined) skip('there is no redis-server to start')
    namespace = uniqueNamespace()
    cache = open()
    other = open()
    unhandled.length = 0
  })
  afterEach(async () => {
    server.process.kill('SIGCONT')
    if (isKilled) await restart()
    await Promise.all(caches.splice(0).map((one) => one.close()))
    expect(unhandled).toEqual([])
  })

  /** A cache of one more process. */
  function open(options: CacheOptions = {}): Cache {
    const one = createCache({ redis: server.url, namespace, ...options })
    caches.push(one)
    return one
  }

  async function restart(): Promise<void> {
    await server.stop()
    server = (await startRedis([], server.port)) as Server
    isKilled = false
  }

  it('says what is wrong with options that the client refuses, and goes on', async () => {
    const refused = open({
      redis: { url: server.url, socket: { tls: true } },
      breaker: { coolDown: '1ms' },
      // Its heart beats meanwhile.
      coherence: { within: '20ms' },
    })
    const message = 'tls socket option is set to true'
    await expect(refused.getOrSet('key', () => 1)).rejects.toThrow(message)
    await new Promise((resolve) => setTimeout(resolve, 60))
    await expect(refused.invalidateTags('tag')).rejects.toThrow(message)
  })

  /** Milliseconds that a call takes. */
  async function timed(call: () => Promise<unknown>): Promise<number> {
    const start = performance.now()
    await call()
    return performance.now() - start
  }

  const failures = {
    SIGKILL: {
      break: () => {
        isKilled = true
        server.process.kill('SIGKILL')
      },
      mend: restart,
    },
    SIGSTOP: {
      break: () => void server.process.kill('SIGSTOP'),
      mend: async () => void server.process.kill('SIGCONT'),
    },
  }

  describe.each(Object.entries(failures))('by %s', (signal, failure) => {
    it('answers every call, within the deadline and then at once', async () => {
      await cache.getOrSet('hot', () => 'stored', { tags: ['tag'] })
      const before = cache.stats()
      failure.break()
      expect(await cache.getOrSet('hot', () => 'loaded', { tags: ['tag'] })).toBe('stored')
      expect(cache.stats().errors).toBe(before.errors)
      for (let miss = 0; miss < 4; miss++) {
        const ms = await timed(() => cache.getOrSet(['cold', miss], () => miss))
        expect(ms).toBeLessThan(deadlineMs + slackMs)
      }
      await until(() => cache.stats().store.state === 'down')
      const down = cache.stats()
      for (let miss = 0; miss < 20; miss++) {
        expect(await timed(() => cache.getOrSet(['colder', miss], () => miss))).toBeLessThan(slackMs)
        expect(await timed(() => cache.set(['set', miss], miss))).toBeLessThan(slackMs)
        expect(await timed(() => cache.invalidateTags('other'))).toBeLessThan(slackMs)
      }
      // At once: nobody has waited for a deadline.
      expect(cache.stats().errorsByKind.timeout).toBe(down.errorsByKind.timeout)
      const { errors, errorRate, errorsByKind } = cache.stats()
      expect(errorsByKind.refused).toBeGreaterThan(20)
      expect(signal === 'SIGSTOP' ? errorsByKind.timeout : errorsByKind.connection).toBeGreaterThan(0)
      expect(errors).toBe(Object.values(errorsByKind).reduce((sum, count) => sum + count))
      expect(errorRate).toBeGreaterThan(0.05)
    })

    it('applies here at once what it could not send, and everywhere within 3 seconds of recovery', async () => {
      await until(() => cache.set('key', 'old', { tags: ['tag'] }))
      await until(async () => (await other.get('key')) === 'old')
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
      const busy = open({ breaker: { coolDown: '200ms' } })
      await busy.get('warm')
      let asked = 0
      let answered = 0
      let slowest = 0
      let isOver = false
      const load = async () => {
        await pause(5)
        return 'value'
      }
      const ask = async () => {
        const key = ['key', asked++ % 50]
        slowest = Math.max(slowest, await timed(() => busy.getOrSet(key, load, { tags: ['tag'], ttl: '100ms' })))
        answered++
      }
      const clients = Array.from({ length: 20 }, async () => {
        while (!isOver) {
          await ask()
          await pause(5)
        }
      })
      await pause(100)
      failure.break()
      await pause(600)
      // On a busy machine it takes longer than that.
      await until(() => answered > 150, 10_000)
      await failure.mend()
      await until(() => busy.stats().store.state === 'up', 3_000)
      await until(() => answered > 200, 10_000)
      isOver = true
      await Promise.all(clients)
      expect(answered).toBe(asked)
      expect(answered).toBeGreaterThan(200)
      // A write may wait for its deadline after a read has waited for its own.
      expect(slowest).toBeLessThan(2 * deadlineMs + slackMs)
    })

    it('serves from memory no longer than `coherence.within` what it cannot verify', async () => {
      const careful = open({ coherence: { within: '200ms' } })
      await careful.getOrSet('key', () => 'first')
      failure.break()
      expect(await careful.getOrSet('key', () => 'second')).toBe('first')
      await pause(400)
      expect(await careful.getOrSet('key', () => 'second')).toBe('second')
    })
  })

  it('works before Redis is there, and with it once it is', async () => {
    const { port } = server
    await server.stop()
    const early = open()
    expect(await timed(() => early.getOrSet('key', () => 'loaded'))).toBeLessThan(deadlineMs + slackMs)
    server = (await startRedis([], port)) as Server
    await until(() => early.stats().store.state === 'up', 3_000)
    expect(await early.set('key', 'stored')).toBe(true)
  })

  it('takes a block of the event loop for no timeout', async () => {
    const impatient = open({ timeouts: { store: '100ms' }, memory: false })
    await impatient.set('key', 'value')
    for (let round = 0; round < 4; round++) {
      const answer = impatient.get('key')
      if (round % 2 === 0) await new Promise((resolve) => setImmediate(resolve))
      const end = performance.now() + 150
      while (performance.now() < end);
      expect(await answer).toBe('value')
    }
    expect(impatient.stats().errors).toBe(0)
  })

  it('never serves again what was there before FLUSHALL or the loss of its clock', async () => {
    const client = await connect(server.url)
    for (const lose of [() => client.flushAll(), () => client.del(`{${namespace}}:clock`)]) {
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
