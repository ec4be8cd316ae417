import { type BucketLayout, longestUs } from '../shared/buckets.ts'
import { cell, type Endpoint, endpointWidth } from './endpoint.ts'
import { type Countable, Tally } from './tally.ts'
import type { EndpointStats, RequestStats, StatsQuery } from './types.ts'

/** One endpoint, of this process or of a fleet. Its numbers are read where they are when they are needed. */
export interface EndpointReading {
  readonly method: string
  readonly route: string
  readonly total: number
  readonly lastSeen: number
  /** What its tally is made of: one window, or one publication a process. */
  readonly parts: readonly Countable[]
}

/** What is needed to turn readings into a document. */
export interface TrafficContext {
  readonly layout: BucketLayout
  /** What the readings cover, for rates. */
  readonly coveredMs: number
  readonly slowUs: number
  readonly stallCorrection: boolean
}

/** Reads an endpoint's window as it is at `now`. */
export function readEndpoint(endpoint: Endpoint, now: number): EndpointReading {
  const { method, route, total, lastSeen, window } = endpoint
  return { method, route, total, lastSeen, parts: [{ addTo: (tally) => window.readInto(tally, now) }] }
}

/** One endpoint of a document. */
export function describeEndpoint(
  { method, route, total, lastSeen, parts }: EndpointReading,
  context: TrafficContext,
  tally: Tally = newTally(context),
): EndpointStats {
  const { layout } = context
  tally.clear().addAll(parts)
  return {
    method,
    route,
    total,
    ...describeTally(tally, context),
    status: statusesOf(tally, layout, (code) => String(code)),
    loopMs: tally.cells[layout.length + cell.loopUs]! / 1_000,
    lastSeen: new Date(lastSeen).toISOString(),
  }
}

/** All requests together. May be interrupted after each endpoint. */
export function* describeRequests(
  readings: readonly EndpointReading[],
  inFlight: number,
  context: TrafficContext,
): Generator<void, RequestStats> {
  const all = newTally(context)
  for (const { parts } of readings) {
    all.addAll(parts)
    yield
  }
  return {
    total: readings.reduce((total, reading) => total + reading.total, 0),
    ...describeTally(all, context),
    inFlight,
    status: statusesOf(all, context.layout, (code) => `${Math.floor(code / 100)}xx`),
  }
}

/** The endpoints a query asks for, described, in its order. May be interrupted after each of them. */
export function* describeEndpoints(
  readings: readonly EndpointReading[],
  { sort = 'total', limit = 100, route, method }: StatsQuery,
  context: TrafficContext,
): Generator<void, EndpointStats[]> {
  const chosen = readings.filter(
    (reading) =>
      (route === undefined || reading.route === route) && (method === undefined || reading.method === method),
  )
  // One tally for all, one after the other: hundreds of them would be megabytes a document.
  const tally = newTally(context)
  const weighed: Array<{ readonly reading: EndpointReading; readonly weight: number }> = []
  for (const reading of chosen) {
    const weight = sort === 'total' ? reading.total : weights[sort](tally.clear().addAll(reading.parts), context.layout)
    weighed.push({ reading, weight })
    yield
  }
  weighed.sort((a, b) => b.weight - a.weight)
  const endpoints: EndpointStats[] = []
  for (const { reading } of weighed.slice(0, limit)) {
    endpoints.push(describeEndpoint(reading, context, tally))
    yield
  }
  return endpoints
}

const weights: Record<'p95' | 'count' | 'errors', (tally: Tally, layout: BucketLayout) => number> = {
  count: ({ count }) => count,
  errors: errorsOf,
  p95: (tally) => tally.percentile(0.95) ?? -1,
}

function newTally({ layout }: TrafficContext): Tally {
  return new Tally(endpointWidth(layout), layout)
}

/** Completed requests of a tally that were answered with 5xx. */
function errorsOf(tally: Tally, layout: BucketLayout): number {
  let errors = 0
  for (let code = 500; code < 600; code++) errors += tally.cells[layout.length + code - 100]!
  return errors
}

function describeTally(tally: Tally, { layout, coveredMs, slowUs, stallCorrection }: TrafficContext) {
  const { count, cells } = tally
  const satisfied = tally.countUpTo(slowUs)
  const latencyMs = tally.latency()
  const tolerating = tally.countUpTo(Math.min(slowUs * 4, longestUs)) - satisfied
  return {
    count,
    perSecond: count / (coveredMs / 1_000),
    aborted: cells[layout.length + cell.aborted]!,
    streams: cells[layout.length + cell.stream]!,
    upgrades: cells[layout.length + cell.upgrade]!,
    errorRate: count === 0 ? null : errorsOf(tally, layout) / count,
    apdex: count === 0 ? null : (satisfied + tolerating / 2) / count,
    latencyMs,
    correctedMs: stallCorrection ? tally.corrected(latencyMs) : null,
  }
}

function statusesOf(tally: Tally, layout: BucketLayout, nameOf: (code: number) => string): Record<string, number> {
  const statuses: Record<string, number> = {}
  for (let place = 0; place <= cell.otherStatus; place++) {
    const count = tally.cells[layout.length + place]!
    if (count === 0) continue
    const name = place === cell.otherStatus ? 'other' : nameOf(place + 100)
    statuses[name] = (statuses[name] ?? 0) + count
  }
  return statuses
}
