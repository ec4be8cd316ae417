import { createCache as createDedupe } from 'async-cache-dedupe'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { createCache as createManager } from 'cache-manager'
import { Cacheable } from 'cacheable'
import { LRUCache } from 'lru-cache'
import { createCache } from '../src/cache/create-cache.ts'
import { compare, table } from './harness.ts'
import { createMemoryLoader } from './peers/layered-loader.ts'

const count = 10_000
const tags = ['users', 'lists']
/** In an order that no prefetching can follow. */
const keys = Array.from({ length: count }, (_, index) => `user:${(index * 7_919) % count}`)

/** What does a hit in memory cost, of an entry with two tags, among ten thousand? */
export default async function cacheHit(): Promise<string> {
  const cache = createCache({ memory: { maxEntries: 2 * count } })
  // Apart from the other, so that each has as many entries as `lru-cache` has.
  const tuples = createCache({ memory: { maxEntries: 2 * count } })
  const lru = new LRUCache<string, object>({ max: 2 * count, ttl: 300_000 })
  const bento = new BentoCache({
    default: 'memory',
    stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: 2 * count })) },
  })
  const cacheable = new Cacheable()
  const manager = createManager()
  const dedupe = createDedupe({ ttl: 300, storage: { type: 'memory', options: { size: 2 * count } } }).define(
    'user',
    async (key: string) => ({ key }),
  )
  const layered = createMemoryLoader<object>(2 * count)
  for (const key of keys) {
    const value = { key }
    lru.set(key, value)
    await cache.set(key, value, { tags })
    await tuples.set(['user', key], value, { tags })
    await bento.set({ key, value, tags })
    await cacheable.set(key, value)
    await manager.set(key, value, 300_000)
    await dedupe.user(key)
    await layered.get({ key, load: async () => value })
  }
  const load = () => ({ key: 'loaded' })
  const loadLater = async () => load()
  const options = { tags }
  let at = 0
  const next = () => keys[at++ % count] as string
  const results = await compare(
    [
      { name: 'lru-cache get, with ttl', run: () => lru.get(next()) },
      { name: 'the same, awaited', run: async () => lru.get(next()) },
      { name: 'posthaste peek', run: () => cache.peek(next()) },
      { name: 'posthaste getOrSet, awaited', run: () => cache.getOrSet(next(), load, options) },
      { name: 'posthaste getOrSet of a tuple, awaited', run: () => tuples.getOrSet(['user', next()], load) },
      { name: 'bentocache getOrSet, awaited', run: () => bento.getOrSet({ key: next(), factory: load }) },
      { name: 'async-cache-dedupe, awaited', run: () => dedupe.user(next()) },
      { name: 'layered-loader getInMemoryOnly', run: () => layered.getInMemoryOnly({ key: next(), load: loadLater }) },
      { name: 'layered-loader get, awaited', run: () => layered.get({ key: next(), load: loadLater }) },
      { name: 'cache-manager wrap, awaited', run: () => manager.wrap(next(), async () => load()) },
      { name: 'cacheable get, awaited', run: () => cacheable.get(next()) },
    ],
    { iterations: 10_000 },
  )
  await Promise.all([cache.close(), tuples.close()])
  return table(results)
}
