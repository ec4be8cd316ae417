import type { CacheLike, CacheRow } from './types.ts'
import type { Slicing } from './window.ts'

interface Counters {
  readonly at: number
  readonly hits: number
  readonly misses: number
  readonly errors: number
}

/**
 * Counters of caches within the window. Caches count since their start; the difference to what they had counted when the
 * window began says what happened in it.
 */
export class CacheWatch {
  readonly #caches: ReadonlyArray<readonly [name: string, cache: CacheLike]>
  readonly #slicing: Slicing
  readonly #past = new Map<string, Counters[]>()

  constructor(caches: Readonly<Record<string, CacheLike>>, slicing: Slicing, now: number) {
    this.#caches = Object.entries(caches)
    this.#slicing = slicing
    for (const [name, cache] of this.#caches) this.#past.set(name, [countersOf(cache, now)])
  }

  /** Notes where the counters are; at most once a slice is kept. */
  sample(now: number): void {
    for (const [name, cache] of this.#caches) this.#note(this.#past.get(name)!, countersOf(cache, now))
  }

  rows(now: number): Record<string, CacheRow> {
    this.sample(now)
    return Object.fromEntries(
      this.#caches.map(([name, cache]) => [name, describe(cache, this.#past.get(name)![0]!)] as const),
    )
  }

  #note(past: Counters[], counters: Counters): void {
    const { windowMs, sliceMs } = this.#slicing
    const latest = past.at(-1)!
    // A cache that counts from zero again was replaced: nothing before it matters.
    if (counters.hits < latest.hits || counters.misses < latest.misses) past.length = 0
    if (past.length === 0) past.push({ at: counters.at, hits: 0, misses: 0, errors: 0 })
    else if (counters.at - latest.at >= sliceMs) past.push(counters)
    while (past.length > 1 && past[1]!.at <= counters.at - windowMs) past.shift()
  }
}

function countersOf(cache: CacheLike, at: number): Counters {
  const { hits, misses, errors } = cache.stats()
  return { at, hits, misses, errors }
}

function describe(cache: CacheLike, base: Counters): CacheRow {
  const stats = cache.stats()
  const hits = stats.hits - base.hits
  const misses = stats.misses - base.misses
  const errors = stats.errors - base.errors
  const requests = hits + misses
  return {
    hits,
    misses,
    errors,
    hitRate: requests === 0 ? null : hits / requests,
    errorRate: requests + errors === 0 ? null : errors / Math.max(requests, errors),
    state: stats.store.state,
  }
}
