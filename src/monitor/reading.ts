import type { BucketLayout } from './buckets.ts'
import { endpointWidth } from './endpoint.ts'
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

/** The sum of readings of one layout. Histograms are added bucket by bucket, so percentiles stay percentiles. */
export function mergeReadings(readings: readonly Reading[], layout: BucketLayout): Reading {
  const endpoints = new Map<string, EndpointReading>()
  const timings = new Map<string, Tally>()
  const caches: Record<string, CacheRow> = {}
  for (const reading of readings) {
    for (const endpoint of reading.endpoints) {
      const key = `${endpoint.method} ${endpoint.route}`
      endpoints.set(key, mergeEndpoints(endpoints.get(key), endpoint, layout))
    }
    for (const [name, tally] of reading.timings) {
      const sum = timings.get(name) ?? new Tally(layout.length, layout)
      sum.add(tally)
      timings.set(name, sum)
    }
    for (const [name, row] of Object.entries(reading.caches)) caches[name] = mergeCaches(caches[name], row)
  }
  return {
    endpoints: [...endpoints.values()],
    timings,
    caches,
    inFlight: total(readings, 'inFlight'),
    coveredMs: Math.max(...readings.map(({ coveredMs }) => coveredMs)),
    overflow: total(readings, 'overflow'),
    clamped: total(readings, 'clamped'),
  }
}

function mergeEndpoints(
  sum: EndpointReading | undefined,
  other: EndpointReading,
  layout: BucketLayout,
): EndpointReading {
  const tally = sum?.tally ?? new Tally(endpointWidth(layout), layout)
  tally.add(other.tally)
  return {
    method: other.method,
    route: other.route,
    total: (sum?.total ?? 0) + other.total,
    lastSeen: Math.max(sum?.lastSeen ?? 0, other.lastSeen),
    tally,
  }
}

function mergeCaches(sum: CacheRow | undefined, row: CacheRow): CacheRow {
  if (sum === undefined) return row
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

function total(readings: readonly Reading[], name: 'inFlight' | 'overflow' | 'clamped'): number {
  return readings.reduce((sum, reading) => sum + reading[name], 0)
}
