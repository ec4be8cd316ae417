import { cacheRow } from './reading.ts'
import type { CacheLike, CacheRow } from './types.ts'
import type { Slicing } from './window.ts'

/** What a cache has counted. */
export interface CacheCounters {
  readonly hits: number
  readonly misses: number
  readonly errors: number
}

interface Counters extends CacheCounters {
  readonly at: number
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
    this.clear(now)
  }

  /** Counts from now on. */
  clear(now: number): void {
    for (const [name, cache] of this.#caches) this.#past.set(name, [countersOf(cache, now)])
  }

  /** Counters since each cache's own start. */
  lifetime(): Array<readonly [name: string, counters: CacheCounters]> {
    return this.#caches.map(([name, cache]) => [name, cache.stats()])
  }

  /** Counters of each cache. To be asked at least once a slice, because it notes where they are. */
  rows(now: number): Record<string, CacheRow> {
    for (const [name, cache] of this.#caches) this.#note(this.#past.get(name)!, countersOf(cache, now))
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
  const { hits, misses, errors, store } = cache.stats()
  return cacheRow(hits - base.hits, misses - base.misses, errors - base.errors, store.state)
}
