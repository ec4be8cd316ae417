import { mergeCacheRows } from '../cache-watch.ts'
import type { CacheRow } from '../types.ts'
import { otherMethod, overflowRoute } from './endpoints.ts'
import type { HistorySlice } from './history.ts'
import type { WindowReading } from './tally.ts'
import type { EndpointReading } from './traffic-stats.ts'

/** The numbers of one process at one moment, or the merged numbers of several. */
export interface Reading {
  readonly endpoints: readonly EndpointReading[]
  readonly timings: ReadonlyMap<string, readonly WindowReading[]>
  readonly caches: Readonly<Record<string, CacheRow>>
  readonly inFlight: number
  /** Age of the oldest request under way; `null` without one. */
  readonly oldestMs: number | null
  /** The time that the windows cover. */
  readonly coveredMs: number
  /** The slices of the window that are over, the oldest first. */
  readonly history: readonly HistorySlice[]
  /** The end of the last slice that is over, by the system's time. */
  readonly historyEndMs: number
  readonly overflow: number
  readonly clamped: number
}

/**
 * Merges the readings of several processes that use the same bucket layout. An endpoint keeps the windows of all processes;
 * their histograms are added bucket by bucket when a document is made, so its percentiles are those of all requests. Endpoints
 * beyond `maxEndpoints` go to the overflow, as in one process.
 */
export class ReadingMerger {
  readonly #maxEndpoints: number
  readonly #sliceMs: number
  readonly #history = new Map<number, HistorySlice>()
  #historyEndMs = Infinity
  readonly #endpoints = new Map<string, EndpointReading>()
  readonly #timings = new Map<string, readonly WindowReading[]>()
  readonly #caches = new Map<string, CacheRow>()
  readonly #numbers = { inFlight: 0, oldestMs: null as number | null, coveredMs: 0, overflow: 0, clamped: 0 }

  constructor(maxEndpoints: number, sliceMs: number) {
    this.#maxEndpoints = maxEndpoints
    this.#sliceMs = sliceMs
  }

  /**
   * @param aheadMs - by how much the clock of the reading's process is ahead; 0 for a few seconds, because slices are
   *   matched to the nearest
   */
  add(reading: Reading, aheadMs = 0): void {
    for (const endpoint of reading.endpoints) {
      this.#addEndpoint({ ...endpoint, lastSeen: endpoint.lastSeen - aheadMs })
    }
    for (const [name, windows] of reading.timings) this.#addTiming(name, windows)
    for (const [name, row] of Object.entries(reading.caches)) {
      const merged = this.#caches.get(name)
      this.#caches.set(name, merged === undefined ? row : mergeCacheRows(merged, row))
    }
    for (const slice of reading.history) this.#addSlice({ ...slice, startMs: slice.startMs - aheadMs })
    this.#historyEndMs = Math.min(this.#historyEndMs, this.#align(reading.historyEndMs - aheadMs))
    const numbers = this.#numbers
    numbers.inFlight += reading.inFlight
    if (reading.oldestMs !== null) numbers.oldestMs = Math.max(numbers.oldestMs ?? 0, reading.oldestMs)
    numbers.coveredMs = Math.max(numbers.coveredMs, reading.coveredMs)
    numbers.overflow += reading.overflow
    numbers.clamped += reading.clamped
  }

  result(): Reading {
    const caches = Object.fromEntries(this.#caches)
    // Leave out later slices: members that published before their end are missing in them.
    const historyEndMs = this.#historyEndMs
    const history = [...this.#history.values()]
      .filter(({ startMs }) => startMs < historyEndMs)
      .sort((a, b) => a.startMs - b.startMs)
    const endpoints = [...this.#endpoints.values()]
    return { endpoints, timings: this.#timings, caches, history, historyEndMs, ...this.#numbers }
  }

  #addEndpoint({ method, route, total, lastSeen, windows }: EndpointReading): void {
    const key = `${method} ${route}`
    const merged = this.#endpoints.get(key)
    if (merged === undefined && route !== overflowRoute && this.#endpoints.size >= this.#maxEndpoints) {
      this.#addEndpoint({ method: otherMethod, route: overflowRoute, total, lastSeen, windows })
      return
    }
    this.#endpoints.set(key, {
      method,
      route,
      total: (merged?.total ?? 0) + total,
      lastSeen: Math.max(merged?.lastSeen ?? -Infinity, lastSeen),
      windows: [...(merged?.windows ?? []), ...windows],
    })
  }

  #addSlice({ startMs, windows, gauges }: HistorySlice): void {
    const start = this.#align(startMs)
    const merged = this.#history.get(start)
    this.#history.set(start, {
      startMs: start,
      windows: [...(merged?.windows ?? []), ...windows],
      gauges: [...(merged?.gauges ?? []), ...gauges],
    })
  }

  #align(startMs: number): number {
    return Math.round(startMs / this.#sliceMs) * this.#sliceMs
  }

  #addTiming(name: string, windows: readonly WindowReading[]): void {
    const key = this.#timings.has(name) || this.#timings.size < this.#maxEndpoints ? name : overflowRoute
    this.#timings.set(key, [...(this.#timings.get(key) ?? []), ...windows])
  }
}
