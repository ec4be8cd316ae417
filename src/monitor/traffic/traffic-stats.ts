import { type BucketLayout, longestUs } from '../../shared/buckets.ts'
import type { MonitorSettings } from '../options.ts'
import type { EndpointStats, RequestStats, StatsQuery } from '../types.ts'
import { breakdownOf } from './breakdown.ts'
import { countByStatus, countClass, counterOffset, type Endpoint, endpointWidth } from './endpoint.ts'
import { sumIndex } from './sliding-window.ts'
import { Tally, type WindowReading } from './tally.ts'

/** An endpoint of this process or of a fleet at one moment. Its counters stay in the windows until a tally adds them. */
export interface EndpointReading {
  readonly method: string
  readonly route: string
  readonly total: number
  /** By the system's time. */
  readonly lastSeen: number
  /** One window of each process. */
  readonly windows: readonly WindowReading[]
}

/** Settings that the numbers of a document depend on. */
export interface TrafficContext {
  readonly layout: BucketLayout
  /** The time that the windows cover, for rates. */
  readonly coveredMs: number
  readonly slowUs: number
  readonly stallCorrection: boolean
}

/** Numbers of requests under way that are slower than the threshold. */
export interface UnansweredCounts {
  tolerating: number
  frustrated: number
}

/** Reads an endpoint's window as it is at `now`, with the requests under way that are slow already. */
export function readEndpoint(
  endpoint: Endpoint,
  now: number,
  { wall, layout }: Pick<MonitorSettings, 'wall' | 'layout'>,
  unanswered: UnansweredCounts | undefined,
): EndpointReading {
  const { method, route, total, lastSeen, window } = endpoint
  const addTo = (tally: Tally) => {
    window.readInto(tally, now)
    if (unanswered === undefined) return
    tally.counters[layout.length + counterOffset.openTolerating]! += unanswered.tolerating
    tally.counters[layout.length + counterOffset.openFrustrated]! += unanswered.frustrated
  }
  return { method, route, total, lastSeen: wall.at(lastSeen), windows: [{ addTo }] }
}

export function toEndpointStats(
  { method, route, total, lastSeen, windows }: EndpointReading,
  context: TrafficContext,
  tally: Tally = newTally(context),
): EndpointStats {
  const { layout } = context
  tally.clear().addAll(windows)
  return {
    method,
    route,
    total,
    ...toTrafficStats(tally, context),
    status: countByStatus(tally.counters, layout, (status) => String(status)),
    loopMs: tally.counters[layout.length + counterOffset.loopUs]! / 1_000,
    breakdown: breakdownOf(tally.sums, sumIndex.waits, tally.count, tally.sums[sumIndex.total]!),
    lastSeen: new Date(lastSeen).toISOString(),
  }
}

interface AllReadings {
  readonly endpoints: readonly EndpointReading[]
  readonly inFlight: number
  readonly oldestMs: number | null
}

/** The section `requests`: all endpoints added up. Yields after each endpoint, for `runInSlices`. */
export function* toRequestStats(
  { endpoints, inFlight, oldestMs }: AllReadings,
  context: TrafficContext,
): Generator<void, RequestStats> {
  const all = newTally(context)
  for (const { windows } of endpoints) {
    all.addAll(windows)
    yield
  }
  return {
    total: endpoints.reduce((total, reading) => total + reading.total, 0),
    ...toTrafficStats(all, context),
    inFlight,
    oldestMs,
    status: countByStatus(all.counters, context.layout, (status) => `${Math.floor(status / 100)}xx`),
  }
}

/** The section `endpoints`: those that the query selects, in its order. Yields after each endpoint, for `runInSlices`. */
export function* selectEndpoints(
  readings: readonly EndpointReading[],
  { sort = 'total', limit = 100, route, method }: StatsQuery,
  context: TrafficContext,
): Generator<void, EndpointStats[]> {
  const selected = readings.filter(
    (reading) =>
      (route === undefined || reading.route === route) && (method === undefined || reading.method === method),
  )
  // One tally serves one endpoint after the other. A tally for each of hundreds would be megabytes a document.
  const tally = newTally(context)
  const ranked: Array<{ readonly reading: EndpointReading; readonly rank: number }> = []
  for (const reading of selected) {
    const rank = sort === 'total' ? reading.total : ranks[sort](tally.clear().addAll(reading.windows), context.layout)
    ranked.push({ reading, rank })
    yield
  }
  ranked.sort((a, b) => b.rank - a.rank)
  const endpoints: EndpointStats[] = []
  for (const { reading } of ranked.slice(0, limit)) {
    endpoints.push(toEndpointStats(reading, context, tally))
    yield
  }
  return endpoints
}

const ranks: Record<'p95' | 'count' | 'errors', (tally: Tally, layout: BucketLayout) => number> = {
  count: ({ count }) => count,
  errors: ({ counters }, layout) => countClass(counters, layout, 500),
  p95: (tally) => tally.percentile(0.95) ?? -1,
}

function newTally({ layout }: TrafficContext): Tally {
  return new Tally(endpointWidth(layout), layout)
}

function toTrafficStats(tally: Tally, { layout, coveredMs, slowUs, stallCorrection }: TrafficContext) {
  const { count, counters } = tally
  const counter = (name: keyof typeof counterOffset) => counters[layout.length + counterOffset[name]]!
  const latencyMs = tally.latency()
  return {
    count,
    perSecond: count / (coveredMs / 1_000),
    aborted: counter('aborted'),
    unanswered: counter('openTolerating') + counter('openFrustrated'),
    streams: counter('stream'),
    upgrades: counter('upgrade'),
    shed: counter('shed'),
    errorRate: count === 0 ? null : countClass(counters, layout, 500) / count,
    apdex: apdexOf(tally, counter, slowUs),
    latencyMs,
    correctedMs: stallCorrection ? tally.corrected(latencyMs) : null,
  }
}

/**
 * Apdex (technical specification 1.1) over all requests whose end, or delay, says whether the client is satisfied. 5xx
 * responses and clients that gave up count as frustrated, however fast. A request under way counts as the best that it can
 * still become.
 */
function apdexOf(tally: Tally, counter: (name: keyof typeof counterOffset) => number, slowUs: number): number | null {
  const fast = tally.countUpTo(slowUs)
  const satisfied = fast - counter('failedSatisfied')
  const tolerating =
    tally.countUpTo(toleratedUs(slowUs)) - fast - counter('failedTolerating') + counter('openTolerating')
  const all = tally.count + counter('abortedLate') + counter('openTolerating') + counter('openFrustrated')
  return all === 0 ? null : (satisfied + tolerating / 2) / all
}

/** Clients tolerate up to four times the time that satisfies them. */
export function toleratedUs(slowUs: number): number {
  return Math.min(slowUs * 4, longestUs)
}
