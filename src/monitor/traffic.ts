import { type BucketLayout, longestUs } from './buckets.ts'
import { cell, type Endpoint, endpointWidth } from './endpoint.ts'
import { Tally } from './tally.ts'
import type { EndpointStats, RequestStats, StatsQuery } from './types.ts'

/** What one endpoint, of this process or of a fleet, held when it was read. */
export interface EndpointReading {
  readonly method: string
  readonly route: string
  readonly total: number
  readonly lastSeen: number
  readonly tally: Tally
}

/** What is needed to turn readings into a document. */
export interface TrafficContext {
  readonly layout: BucketLayout
  /** What the readings cover, for rates. */
  readonly coveredMs: number
  readonly slowUs: number
  readonly stallCorrection: boolean
}

/** Reads an endpoint's window. */
export function readEndpoint(endpoint: Endpoint, layout: BucketLayout, now: number): EndpointReading {
  const tally = new Tally(endpointWidth(layout), layout)
  endpoint.window.readInto(tally, now)
  const { method, route, total, lastSeen } = endpoint
  return { method, route, total, lastSeen, tally }
}

/** One endpoint of a document. */
export function describeEndpoint(reading: EndpointReading, context: TrafficContext): EndpointStats {
  const { method, route, total, lastSeen, tally } = reading
  const { layout } = context
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

/** All requests together. */
export function describeRequests(
  readings: readonly EndpointReading[],
  inFlight: number,
  context: TrafficContext,
): RequestStats {
  const { layout } = context
  const all = new Tally(endpointWidth(layout), layout)
  for (const { tally } of readings) all.add(tally)
  return {
    total: readings.reduce((total, reading) => total + reading.total, 0),
    ...describeTally(all, context),
    inFlight,
    status: statusesOf(all, layout, (code) => `${Math.floor(code / 100)}xx`),
  }
}

/** The endpoints a query asks for, described, in its order. */
export function describeEndpoints(
  readings: readonly EndpointReading[],
  { sort = 'total', limit = 100, route, method }: StatsQuery,
  context: TrafficContext,
): EndpointStats[] {
  const chosen = readings.filter(
    (reading) =>
      (route === undefined || reading.route === route) && (method === undefined || reading.method === method),
  )
  const weighed = chosen.map((reading) => ({ reading, weight: weights[sort](reading, context.layout) }))
  weighed.sort((a, b) => b.weight - a.weight)
  return weighed.slice(0, limit).map(({ reading }) => describeEndpoint(reading, context))
}

const weights: Record<NonNullable<StatsQuery['sort']>, (reading: EndpointReading, layout: BucketLayout) => number> = {
  total: ({ total }) => total,
  count: ({ tally }) => tally.count,
  errors: ({ tally }, layout) => errorsOf(tally, layout),
  p95: ({ tally }) => tally.percentile(0.95) ?? -1,
}

/** Completed requests of a tally that were answered with 5xx. */
export function errorsOf(tally: Tally, layout: BucketLayout): number {
  let errors = 0
  for (let code = 500; code < 600; code++) errors += tally.cells[layout.length + code - 100]!
  return errors
}

function describeTally(tally: Tally, { layout, coveredMs, slowUs, stallCorrection }: TrafficContext) {
  const { count, cells } = tally
  const satisfied = tally.countUpTo(slowUs)
  const tolerating = tally.countUpTo(Math.min(slowUs * 4, longestUs)) - satisfied
  return {
    count,
    perSecond: count / (coveredMs / 1_000),
    aborted: cells[layout.length + cell.aborted]!,
    streams: cells[layout.length + cell.stream]!,
    upgrades: cells[layout.length + cell.upgrade]!,
    errorRate: count === 0 ? null : errorsOf(tally, layout) / count,
    apdex: count === 0 ? null : (satisfied + tolerating / 2) / count,
    latencyMs: tally.latency(),
    correctedMs: stallCorrection ? tally.corrected() : null,
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
