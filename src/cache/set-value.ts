import type { Engine } from './engine.ts'
import { lifetimeOf, tryInspect } from './keep.ts'
import { resolveEntry } from './resolve-call.ts'
import type { EntryOptions } from './types.ts'

/** Stores a value as of now: see `Cache.set`. */
export async function setValue(engine: Engine, key: string, value: unknown, options?: EntryOptions): Promise<boolean> {
  const { settings, order, time, entries, memory, store } = engine.parts
  const { profile, ttlMs: usualMs, staleMs, tags } = resolveEntry(settings, options)
  const ttlMs = lifetimeOf(value, profile, options?.ttl === undefined ? undefined : usualMs, usualMs)
  const inspection = ttlMs === 0 ? undefined : tryInspect(engine.parts, key, value)
  const change = { tags: [], keys: [key], all: false }
  if (inspection === undefined) {
    await engine.change(change)
    return false
  }
  // Loads that are under way began before this value.
  engine.outdate(change)
  const about = { profile, ttlMs, staleMs, tags, costMs: 0, begun: order.tick, begunAt: time.exact() }
  memory.set(key, entries.toMemory(value, inspection, about))
  return store === undefined || store.set(key, await entries.toStore(value, inspection, about))
}
