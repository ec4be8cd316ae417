import type { CacheOptions, InvalidateOptions } from 'posthaste'
import { createCache } from '../../../src/cache/create-cache.ts'
import type { OpenSubject } from './subject.ts'

export const open: OpenSubject = openWith({})

/** Opens it with further options, and invalidates with those given. */
export function openWith(options: CacheOptions<string, string>, invalidation: InvalidateOptions = {}): OpenSubject {
  return async (url, namespace, withinMs) => {
    const coherence = { within: `${withinMs}ms` } as const
    const cache = createCache<string, string>({ redis: url, namespace, coherence, ...options })
    return {
      getOrSet: (key, load, tags) => cache.getOrSet(key, load, { tags, ttl: '1m' }),
      invalidateTag: async (tag) => (await cache.invalidateTags(tag, invalidation)).propagated,
      close: () => cache.close(),
    }
  }
}
