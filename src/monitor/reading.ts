import { otherMethod, overflowRoute } from './endpoints.ts'
import type { Countable } from './tally.ts'
import type { EndpointReading } from './traffic.ts'
import type { CacheRow } from './types.ts'

/** All numbers of one process, or of several added up, at one moment. */
export interface Reading {
  readonly endpoints: readonly EndpointReading[]
  readonly timings: ReadonlyMap<string, readonly Countable[]>
  readonly caches: Readonly<Record<string, CacheRow>>
  readonly inFlight: number
  /** What the windows cover. */
  readonly coveredMs: number
  readonly overflow: number
  readonly clamped: number
}

/**
 * Puts readings of one layout together. An endpoint keeps the histograms of all, which are added bucket by bucket when it
 * is described, so percentiles stay percentiles. What exceeds `maxEndpoints` goes to the overflow, as in one process.
 */
export class ReadingSum {
  readonly #maxEndpoints: number
  readonly #endpoints = new Map<string, EndpointReading>()
  readonly #timings = new Map<string, readonly Countable[]>()
  readonly #caches = new Map<string, CacheRow>()
  #inFlight = 0
  #coveredMs = 0
  #overflow = 0
  #clamped = 0

  constructor(maxEndpoints: number) {
    this.#maxEndpoints = maxEndpoints
  }

  add(reading: Reading): void {
    for (const endpoint of reading.endpoints) this.#addEndpoint(endpoint)
    for (const [name, parts] of reading.timings) this.#addTiming(name, parts)
    for (const [name, row] of Object.entries(reading.caches)) {
      const sum = this.#caches.get(name)
      this.#caches.set(name, sum === undefined ? row : mergeCaches(sum, row))
    }
    this.#inFlight += reading.inFlight
    this.#coveredMs = Math.max(this.#coveredMs, reading.coveredMs)
    this.#overflow += reading.overflow
    this.#clamped += reading.clamped
  }

  result(): Reading {
    return {
      endpoints: [...this.#endpoints.values()],
      timings: this.#timings,
      caches: Object.fromEntries(this.#caches),
      inFlight: this.#inFlight,
      coveredMs: this.#coveredMs,
      overflow: this.#overflow,
      clamped: this.#clamped,
    }
  }

  #addEndpoint({ method, route, total, lastSeen, parts }: EndpointReading): void {
    const key = `${method} ${route}`
    const sum = this.#endpoints.get(key)
    if (sum === undefined && route !== overflowRoute && this.#endpoints.size >= this.#maxEndpoints) {
      this.#addEndpoint({ method: otherMethod, route: overflowRoute, total, lastSeen, parts })
      return
    }
    this.#endpoints.set(key, {
      method,
      route,
      total: (sum?.total ?? 0) + total,
      lastSeen: Math.max(sum?.lastSeen ?? -Infinity, lastSeen),
      parts: [...(sum?.parts ?? []), ...parts],
    })
  }

  #addTiming(name: string, parts: readonly Countable[]): void {
    const key = this.#timings.has(name) || this.#timings.size < this.#maxEndpoints ? name : overflowRoute
    this.#timings.set(key, [...(this.#timings.get(key) ?? []), ...parts])
  }
}

function mergeCaches(sum: CacheRow, row: CacheRow): CacheRow {
  const states = ['off', 'up', 'degraded', 'down']
  const state = states.indexOf(row.state) > states.indexOf(sum.state) ? row.state : sum.state
  return cacheRow(sum.hits + row.hits, sum.misses + row.misses, sum.errors + row.errors, state)
}

/** A cache's row from its counters. */
export function cacheRow(hits: number, misses: number, errors: number, state: string): CacheRow {
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
