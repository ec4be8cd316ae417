import { type Cache, createCache } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { collectGarbage } from '../support/collect-garbage.ts'
import { services } from '../support/services.ts'
import { cleanUp, uniqueNamespace } from './support.ts'

/** `SCALE=large` takes a minute or two, and a gigabyte. */
const isLarge = process.env.SCALE === 'large'

describe('memory', () => {
  it.each([
    ['objects', (id: number) => ({ id, name: `user number ${id}`, email: `user${id}@example.org`, active: true })],
    ['texts', (id: number) => `value ${id} `.repeat(20)],
  ])(
    'stays within `maxBytes` while many random keys pass, with %s',
    async (_what, make) => {
      const maxBytes = (isLarge ? 64 : 8) * 1024 * 1024
      const maxEntries = isLarge ? 100_000 : 12_000
      const keys = isLarge ? 1_000_000 : 24_000
      async function pass(count: number): Promise<Cache> {
        const cache = createCache({ memory: { maxEntries, maxBytes }, freeze: false })
        for (let passed = 0; passed < count; passed++) {
          const id = Math.floor(Math.random() * 1e9)
          await cache.getOrSet(['user', id], () => make(id), { tags: ['users', `user:${id}`] })
        }
        return cache
      }
      // What the compiler and the runtime keep for themselves is no part of the cache.
      await (await pass(1_000)).close()
      collectGarbage()
      const before = process.memoryUsage().heapUsed
      const cache = await pass(keys)
      const { entries, bytes, evictions } = cache.stats().memory
      expect(bytes).toBeLessThanOrEqual(maxBytes)
      expect(evictions).toBeGreaterThan(0)
      expect(entries).toBeGreaterThan(5_000)
      collectGarbage()
      expect(process.memoryUsage().heapUsed - before).toBeLessThan(maxBytes * 1.1)
      await cache.close()
    },
    120_000,
  )
})

describe('invalidating a tag', () => {
  const [few, many] = isLarge ? [1_000, 1_000_000] : [100, 20_000]

  /** The quickest of several for each cache, and all in turn, because the machine does other things too. */
  async function quickest(caches: readonly Cache[]): Promise<number[]> {
    const best = caches.map(() => Number.POSITIVE_INFINITY)
    for (let round = 0; round < 40; round++) {
      for (const [index, cache] of caches.entries()) {
        const start = performance.now()
        await cache.invalidateTags('all')
        best[index] = Math.min(best[index] as number, performance.now() - start)
      }
    }
    return best
  }

  it(`costs the same for ${many} entries in memory as for ${few}`, async () => {
    const caches: Cache[] = []
    for (const count of [few, many]) {
      const cache = createCache({ memory: { maxEntries: 2 * many, maxBytes: 4e9 } })
      for (let id = 0; id < count; id++) await cache.set(id.toString(), id, { tags: ['all'] })
      caches.push(cache)
    }
    const times = await quickest(caches)
    for (const cache of caches) {
      expect(await cache.has('1')).toBe(false)
      await cache.close()
    }
    // Both are a few microseconds: below ten there is only noise.
    expect(Math.max(times[1] as number, 0.01) / Math.max(times[0] as number, 0.01)).toBeLessThan(3)
  }, 120_000)

  const manyInRedis = isLarge ? 1_000_000 : 5_000
  it.skipIf(!services.redis)(
    `costs the same for ${manyInRedis} entries in Redis as for ${few}`,
    async () => {
      const namespaces = [uniqueNamespace(), uniqueNamespace()]
      const caches: Cache[] = []
      for (const [index, count] of [few, manyInRedis].entries()) {
        const cache = createCache({ redis: services.redis as string, namespace: namespaces[index], memory: false })
        for (let id = 0; id < count; id += 500) {
          await Promise.all(
            Array.from({ length: Math.min(500, count) }, (_, at) => cache.set(`${id + at}`, 1, { tags: ['all'] })),
          )
        }
        caches.push(cache)
      }
      const times = await quickest(caches)
      for (const cache of caches) await cache.close()
      await cleanUp(services.redis as string, namespaces)
      expect((times[1] as number) / (times[0] as number)).toBeLessThan(3)
    },
    300_000,
  )
})

describe('a hit in memory', () => {
  const keys = Array.from({ length: 1_000 }, (_, id) => `user:${id}`)
  const options = { tags: ['users', 'lists'] }
  const load = () => ({ key: 'loaded' })

  it.each<[string, (cache: Cache, key: string) => unknown]>([
    ['peek', (cache, key) => cache.peek(key)],
    ['getOrSet', (cache, key) => cache.getOrSet(key, load, options)],
  ])('allocates nothing by %s', async (_name, read) => {
    const cache = createCache()
    for (const key of keys) await cache.set(key, { key }, options)
    const readAll = (rounds: number) => {
      for (let round = 0; round < rounds; round++) for (const key of keys) read(cache, key)
    }
    // Until the compiler has seen that objects made on the way leave no trace.
    for (let round = 0; round < 20; round++) {
      readAll(20)
      await new Promise((resolve) => setImmediate(resolve))
    }
    const before = process.memoryUsage().heapUsed
    readAll(100)
    const bytes = process.memoryUsage().heapUsed - before
    expect(bytes / (100 * keys.length)).toBeLessThan(4)
    await cache.close()
  })
})
