import type { BucketLayout } from './buckets.ts'
import { endpointWidth } from './endpoint.ts'
import { otherMethod, overflowRoute } from './endpoints.ts'
import { Tally } from './tally.ts'
import type { EndpointReading } from './traffic.ts'
import type { CacheRow } from './types.ts'

/** All numbers of one process, or of several added up, at one moment. */
export interface Reading {
  readonly endpoints: readonly EndpointReading[]
  readonly timings: ReadonlyMap<string, Tally>
  readonly caches: Readonly<Record<string, CacheRow>>
  readonly inFlight: number
  /** What the windows cover. */
  readonly coveredMs: number
  readonly overflow: number
  readonly clamped: number
}

/**
 * Adds up readings of one layout. Histograms are added bucket by bucket, so percentiles stay percentiles; what exceeds
 * `maxEndpoints` goes to the overflow, as it does in one process.
 */
export class ReadingSum {
  readonly #layout: BucketLayout
  readonly #maxEndpoints: number
  readonly #endpoints = new Map<string, EndpointReading>()
  readonly #timings = new Map<string, Tally>()
  readonly #caches = new Map<string, CacheRow>()
  #inFlight = 0
  #coveredMs = 0
  #overflow = 0
  #clamped = 0

  constructor(layout: BucketLayout, maxEndpoints: number) {
    this.#layout = layout
    this.#maxEndpoints = maxEndpoints
  }

  add(reading: Reading): void {
    for (const endpoint of reading.endpoints) this.#addEndpoint(endpoint)
    for (const [name, tally] of reading.timings) this.#addTiming(name, tally)
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

  #addEndpoint({ method, route, total, lastSeen, tally }: EndpointReading): void {
    const key = `${method} ${route}`
    const isNew = !this.#endpoints.has(key)
    if (isNew && route !== overflowRoute && this.#endpoints.size >= this.#maxEndpoints) {
      this.#addEndpoint({ method: otherMethod, route: overflowRoute, total, lastSeen, tally })
      return
    }
    const sum = this.#endpoints.get(key)
    const added = sum?.tally ?? new Tally(endpointWidth(this.#layout), this.#layout)
    added.add(tally)
    this.#endpoints.set(key, {
      method,
      route,
      total: (sum?.total ?? 0) + total,
      lastSeen: Math.max(sum?.lastSeen ?? -Infinity, lastSeen),
      tally: added,
    })
  }

  #addTiming(name: string, tally: Tally): void {
    const key = this.#timings.has(name) || this.#timings.size < this.#maxEndpoints ? name : overflowRoute
    const sum = this.#timings.get(key) ?? new Tally(this.#layout.length, this.#layout)
    sum.add(tally)
    this.#timings.set(key, sum)
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
