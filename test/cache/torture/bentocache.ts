import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { redisBusDriver, redisDriver } from 'bentocache/drivers/redis'
import type { OpenSubject } from './subject.ts'

/** Two tiers and its bus, as its manual sets them up. */
export const open: OpenSubject = async (url, namespace) => {
  const { hostname: host, port } = new URL(url)
  const connection = { host, port: Number(port) }
  const store = bentostore()
    .useL1Layer(memoryDriver())
    .useL2Layer(redisDriver({ connection }))
    .useBus(redisBusDriver({ connection }))
  const cache = new BentoCache({ default: 'tiers', stores: { tiers: store }, prefix: namespace })
  return {
    getOrSet: (key, factory, tags) => cache.getOrSet({ key, factory, tags: [...tags], ttl: '1m' }),
    async invalidateTag(tag) {
      await cache.deleteByTag({ tags: [tag] })
      return true
    },
    close: () => cache.disconnectAll(),
  }
}
