import KeyvRedis from '@keyv/redis'
import { Cacheable, Keyv } from 'cacheable'
import type { LoadedValue } from './history.ts'
import type { OpenSubject } from './subject.ts'

/** Two tiers, with tags. Its `getOrSet` takes no tags, so a miss is a load and a `set`, as its manual does it. */
export const open: OpenSubject = async (url, namespace) => {
  const adapter = new KeyvRedis(url, { namespace })
  const cache = new Cacheable({ secondary: new Keyv(adapter, { namespace }), tags: true, namespace })
  return {
    async getOrSet(key, load, tags) {
      const stored = await cache.get<LoadedValue>(key)
      if (stored !== undefined) return stored
      const value = await load()
      await cache.set(key, value, { ttl: '1m', tags: [...tags] })
      return value
    },
    async invalidateTag(tag) {
      await cache.tags.invalidateTag(tag)
      return true
    },
    close: () => adapter.disconnect(true),
  }
}
