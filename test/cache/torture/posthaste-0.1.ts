import type { OpenSubject } from './subject.ts'

/** Release 0.1, which may share a namespace with this one while a deployment goes on. */
export const open: OpenSubject = async (url, namespace, withinMs) => {
  const release = './release-0.1.mjs'
  const { createCache } = (await import(release)) as Pick<typeof import('posthaste'), 'createCache'>
  const cache = createCache<string, string>({ redis: url, namespace, coherence: { within: `${withinMs}ms` } })
  return {
    getOrSet: (key, load, tags) => cache.getOrSet(key, load, { tags, ttl: '1m' }),
    invalidateTag: async (tag) => (await cache.invalidateTags(tag)).propagated,
    close: () => cache.close(),
  }
}
