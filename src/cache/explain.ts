import type { Engine } from './engine.ts'
import type { MemoryEntry } from './memory-tier.ts'
import type { Explanation } from './types.ts'

/** Where the value of an encoded key is, or why it is nowhere: see `Cache.explain`. */
export async function explain(engine: Engine, key: string): Promise<Explanation> {
  const { memory, store, time } = engine.parts
  const entry = memory.get(key)
  const now = time.exact()
  const isCurrent = entry !== undefined && engine.isCurrent(entry)
  if (entry !== undefined && isCurrent && now < entry.staleUntil) return explainMemory(key, entry, now)
  if (store === undefined) {
    return { key, tier: 'none', reason: entry === undefined ? 'absent' : isCurrent ? 'expired' : 'invalidated' }
  }
  const found = (await store.read([key], 'get', []))?.[0]
  if (found?.entry === undefined) return { key, tier: 'none', reason: (found?.state ?? 'unavailable') as never }
  const { header, payload } = found.entry
  return {
    key,
    tier: 'store',
    ageMs: found.ageMs,
    freshForMs: header.ttlMs - (found.ageMs ?? 0),
    bytes: payload.length,
    codec: header.codec,
    tags: [...header.tags],
  }
}

function explainMemory(key: string, entry: MemoryEntry, now: number): Explanation {
  const { loadedAt, freshUntil, bytes, tags } = entry
  return { key, tier: 'memory', ageMs: now - loadedAt, freshForMs: freshUntil - now, bytes, tags: [...tags] }
}
