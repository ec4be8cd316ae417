import { expectString, expectWholeNumber } from '../shared/arguments.ts'
import type { Slicing } from './traffic/sliding-window.ts'
import type { CacheRow } from './types.ts'

/** What the monitor needs of a cache: its cumulative counters. Every `Cache` is one. */
export interface CacheLike {
  stats(): {
    readonly hits: number
    readonly misses: number
    readonly errors: number
    readonly hitRate: number
    readonly errorRate: number
    readonly store: { readonly state: string }
  }
}

/** Counters of a cache since its start. */
export interface CacheCounters {
  readonly hits: number
  readonly misses: number
  readonly errors: number
}

type TimedCounters = CacheCounters & { readonly at: number }

interface StatedCounters extends CacheCounters {
  /** The state of the cache's store. */
  readonly state: string
}

/**
 * Counters of caches within the window. A cache counts since its start; the watch subtracts the counters that the cache had
 * when the window began.
 */
export class CacheWatch {
  readonly #caches: ReadonlyArray<readonly [name: string, cache: CacheLike]>
  readonly #slicing: Slicing
  readonly #past = new Map<string, TimedCounters[]>()
  readonly #onError: (name: string, error: unknown) => void

  /** @param onError - called when a cache's `stats()` throws; its numbers are then left out */
  constructor(
    caches: Readonly<Record<string, CacheLike>>,
    slicing: Slicing,
    now: number,
    onError: (name: string, error: unknown) => void,
  ) {
    this.#caches = Object.entries(caches)
    this.#slicing = slicing
    this.#onError = onError
    this.clear(now)
  }

  /** Counts from now on. */
  clear(now: number): void {
    this.#past.clear()
    for (const [name, counters] of this.lifetime()) this.#past.set(name, [{ ...counters, at: now }])
  }

  /** Counters of each cache in the window. Must be called at least once a slice, because each call records them. */
  rows(now: number): Record<string, CacheRow> {
    return Object.fromEntries(
      this.lifetime().map(([name, counters]) => {
        const { hits, misses, errors, state } = counters
        const base = this.#remember(name, { ...counters, at: now })
        return [name, toCacheRow(hits - base.hits, misses - base.misses, errors - base.errors, state)]
      }),
    )
  }

  /** Counters since each cache's own start, of the caches that can be read now. */
  lifetime(): Array<readonly [name: string, counters: StatedCounters]> {
    return this.#caches.flatMap(([name, cache]) => {
      try {
        return [[name, readCounters(cache)] as const]
      } catch (error) {
        this.#onError(name, error)
        return []
      }
    })
  }

  /** @returns the counters at the beginning of the window */
  #remember(name: string, counters: TimedCounters): TimedCounters {
    const { windowMs, sliceMs } = this.#slicing
    const past = this.#past.get(name) ?? [counters]
    this.#past.set(name, past)
    const latest = past.at(-1)!
    // Lower counters belong to a new cache that replaced the old one: forget the old counters.
    if ((['hits', 'misses', 'errors'] as const).some((name) => counters[name] < latest[name])) past.length = 0
    if (past.length === 0) past.push({ at: counters.at, hits: 0, misses: 0, errors: 0 })
    else if (counters.at - latest.at >= sliceMs) past.push(counters)
    while (past.length > 1 && past[1]!.at <= counters.at - windowMs) past.shift()
    return past[0]!
  }
}

export function toCacheRow(hits: number, misses: number, errors: number, state: string): CacheRow {
  const requests = hits + misses
  return {
    hits,
    misses,
    errors,
    hitRate: requests === 0 ? null : hits / requests,
    errorRate: requests + errors === 0 ? null : errors / Math.max(requests, errors),
    state,
  }
}

/** Adds up the counters of one cache in two processes; the state is the worse of the two. */
export function mergeCacheRows(a: CacheRow, b: CacheRow): CacheRow {
  const states = ['off', 'up', 'degraded', 'down']
  const state = states.indexOf(b.state) > states.indexOf(a.state) ? b.state : a.state
  return toCacheRow(a.hits + b.hits, a.misses + b.misses, a.errors + b.errors, state)
}

/**
 * @throws TypeError or RangeError for counters from which nothing can be computed, and which no member of a fleet could read
 */
function readCounters(cache: CacheLike): StatedCounters {
  const { hits, misses, errors, store } = cache.stats()
  for (const [name, value] of Object.entries({ hits, misses, errors })) expectWholeNumber(value, `stats().${name}`)
  expectString(store.state, 'stats().store.state')
  return { hits, misses, errors, state: store.state }
}
