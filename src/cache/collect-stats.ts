import { type StoreCounters, summarize } from './counters.ts'
import type { Engine } from './engine.ts'
import type { CacheStats } from './types.ts'

/** The counters of a cache as its users see them. */
export function collectStats(
  { parts }: Engine,
  counters: StoreCounters,
  coherence: { readonly ageMs: number },
): CacheStats<string> {
  const { settings, memory, store } = parts
  const profiles = [...settings.profiles.values()]
  const total = summarize(profiles.map((profile) => profile.counters))
  const errors = counters.total
  return {
    ...total,
    errors,
    errorRate: errors === 0 ? 0 : Math.min(1, errors / Math.max(1, total.requests)),
    errorsByKind: { ...counters.errors },
    memory: memory.stats(),
    store: {
      state: store?.state ?? 'off',
      roundTripMs: store?.roundTripMs ?? 0,
      coherenceMs: coherence.ageMs,
      queuedInvalidations: store?.pendingChanges ?? 0,
    },
    compression: { rawBytes: counters.rawBytes, storedBytes: counters.storedBytes },
    byProfile: Object.fromEntries(profiles.map((profile) => [profile.name, profile.counters.stats()])),
  }
}
