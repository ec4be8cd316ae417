import { createCache } from 'posthaste'
import type { Subject } from './subject.ts'

export async function openPosthaste(url: string, namespace: string, withinMs: number): Promise<Subject> {
  const cache = createCache({ redis: url, namespace, coherence: { within: `${withinMs}ms` } })
  return {
    getOrSet: (key, load, tags) => cache.getOrSet(key, load, { tags, ttl: '1m' }),
    invalidateTag: async (tag) => (await cache.invalidateTags(tag)).propagated,
    close: () => cache.close(),
  }
}
