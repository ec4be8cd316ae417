import type { MonitorSettings } from './options.ts'
import type { Reading } from './reading.ts'
import { describeTimings } from './timings.ts'
import { describeEndpoints, describeRequests, type TrafficContext } from './traffic.ts'
import type { StatsDocument, StatsQuery } from './types.ts'

/** What of a document does not come from the reading. */
export type DocumentContext = Pick<
  StatsDocument,
  'scope' | 'database' | 'additions' | 'system' | 'alerts' | 'slow' | 'fleet' | 'uptimeMs'
> & {
  readonly now: number
  readonly memoryBytes: number
  /** When its making began. */
  readonly began: number
}

/** The document of a reading. May be interrupted after each endpoint. */
export function* documentOf(
  reading: Reading,
  query: StatsQuery,
  settings: MonitorSettings,
  { now, memoryBytes, began, ...context }: DocumentContext,
): Generator<void, StatsDocument> {
  const { service, release, instance, slicing } = settings
  const traffic = trafficContext(settings, reading.coveredMs)
  const document = {
    schema: 'posthaste.performance/1' as const,
    scope: context.scope,
    service,
    release,
    instance,
    generatedAt: new Date(now).toISOString(),
    uptimeMs: context.uptimeMs,
    windowMs: slicing.windowMs,
    requests: yield* describeRequests(reading.endpoints, reading.inFlight, traffic),
    endpoints: yield* describeEndpoints(reading.endpoints, query, traffic),
    timings: describeTimings(reading.timings, settings.layout),
    cache: reading.caches,
    database: context.database,
    additions: context.additions,
    system: context.system,
    alerts: context.alerts,
    slow: context.slow,
    fleet: context.fleet,
  }
  const { endpoints, overflow, clamped } = reading
  const renderMs = performance.now() - began
  return { ...document, self: { endpoints: endpoints.length, overflow, clamped, memoryBytes, renderMs } }
}

/** How readings are described with these settings. */
export function trafficContext(
  { layout, slowUs, stallCorrection }: MonitorSettings,
  coveredMs: number,
): TrafficContext {
  return { layout, coveredMs, slowUs, stallCorrection }
}
