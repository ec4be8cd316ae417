import type { BucketLayout } from '../shared/buckets.ts'
import type { Alerts, Observation } from './alerts.ts'
import { cell, type Endpoint, endpointWidth } from './endpoint.ts'
import { Tally } from './tally.ts'
import type { AlertCause, CacheRow, SystemStats } from './types.ts'

/** What the rules look at. */
export interface Observed {
  readonly now: number
  readonly layout: BucketLayout
  readonly endpoints: readonly Endpoint[]
  readonly caches: Readonly<Record<string, CacheRow>>
  readonly system: SystemStats
  readonly systemSamples: number
  /** The longest block of the event loop lately; `null` when nobody watches it. */
  readonly longestStallMs: number | null
}

/** Everything the rules that are on have to judge. */
export function* observe(alerts: Alerts, observed: Observed): Generator<Observation> {
  const { system, systemSamples: samples, longestStallMs, caches } = observed
  yield* responseTimes(alerts, observed)
  if (alerts.rule('error_rate') !== undefined) yield errorRate(observed)
  for (const [target, { errorRate: rate, hits, misses, errors }] of Object.entries(caches)) {
    const value = rate === null ? null : rate * 100
    yield { id: 'cache_errors', target, value, samples: Math.max(hits + misses, errors) }
  }
  yield { id: 'cpu', target: null, value: system.cpuPercent, samples }
  yield { id: 'memory', target: null, value: system.memoryPercent, samples }
  yield { id: 'event_loop', target: null, value: longestStallMs, samples }
  for (const { path, percent } of system.disk) yield { id: 'disk', target: path, value: percent, samples }
}

/** What probably lies behind whatever is wrong now. */
export function causeOf(
  { now, layout, endpoints, system }: Pick<Observed, 'now' | 'layout' | 'endpoints' | 'system'>,
  coveredMs: number,
): AlertCause {
  const { stalls } = system.eventLoop
  const { throttledPercent } = system.cpu
  let topBlocker: string | null = null
  let longestUs = 0
  for (const { method, route, window } of endpoints) {
    const heldUs = window.sumOf(now, layout.length + cell.loopUs)
    if (heldUs <= longestUs) continue
    longestUs = heldUs
    topBlocker = `${method} ${route}`
  }
  return {
    stall: Math.min(1, stalls.totalMs / coveredMs),
    gc: Math.min(1, system.gc.totalMs / coveredMs),
    throttled: throttledPercent === null ? null : throttledPercent / 100,
    topBlocker,
  }
}

/** Most endpoints are well, and their greatest latency says so: only the others have their percentiles worked out. */
function* responseTimes(alerts: Alerts, { now, layout, endpoints }: Observed): Generator<Observation> {
  const rule = alerts.rule('response_time')
  if (rule === undefined) return
  const tally = new Tally(endpointWidth(layout), layout)
  for (const { method, route, window } of endpoints) {
    const target = `${method} ${route}`
    if (window.maxUs(now) <= rule.threshold * 1_000 && !alerts.isOpen('response_time', target)) continue
    tally.clear()
    window.readInto(tally, now)
    yield { id: 'response_time', target, value: tally.latency().p95Ci?.[0] ?? null, samples: tally.count }
  }
}

function errorRate({ now, layout, endpoints }: Observed): Observation {
  const server = layout.length + cell.firstStatus + 400
  let completed = 0
  let failed = 0
  for (const { window } of endpoints) {
    completed += window.count(now)
    failed += window.sumOf(now, server, server + 99)
  }
  return {
    id: 'error_rate',
    target: null,
    value: completed === 0 ? null : (failed / completed) * 100,
    samples: completed,
  }
}
