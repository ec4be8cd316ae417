import type { CacheOptions } from 'posthaste'
import { createCache } from '../../../src/cache/create-cache.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = openWith({})

/** Opens it with further options. */
export function openWith(options: CacheOptions): OpenSubject {
  return async (url, namespace, withinMs) => {
    const cache = createCache({ redis: url, namespace, coherence: { within: `${withinMs}ms` }, ...options })
    return {
      getOrSet: (key, load, tags) => cache.getOrSet(key, load, { tags, ttl: '1m' }),
      invalidateTag: async (tag) => (await cache.invalidateTags(tag)).propagated,
      close: () => cache.close(),
    }
  }
}
