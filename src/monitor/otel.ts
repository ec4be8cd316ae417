import { exposedBoundsUs } from './exposed.ts'
import type { PerformanceMonitor } from './monitor.ts'
import type { SystemStats } from './types.ts'

/** What is needed of a `Meter` of `@opentelemetry/api`. */
export interface MeterLike {
  createHistogram(name: string, options: InstrumentOptions): { record(value: number, attributes: Attributes): void }
  createObservableGauge(name: string, options: InstrumentOptions): ObservableLike
  createObservableCounter(name: string, options: InstrumentOptions): ObservableLike
  createObservableUpDownCounter(name: string, options: InstrumentOptions): ObservableLike
}

/** What is needed of an asynchronous instrument. */
export interface ObservableLike {
  addCallback(callback: ObservableCallback): void
  removeCallback(callback: ObservableCallback): void
}

/** Called by the SDK when it collects. */
export type ObservableCallback = (result: { observe(value: number, attributes?: Attributes): void }) => void

interface InstrumentOptions {
  description?: string
  unit?: string
  advice?: { explicitBucketBoundaries?: number[] }
}

type Attributes = Record<string, string | number>

/**
 * Puts the monitor's numbers into OpenTelemetry, under the names and units of the semantic conventions (HTTP, process,
 * Node.js runtime) where there are some, and `posthaste.*` else. The duration of each request is recorded as it ends, which
 * costs what the SDK's histogram costs; everything else is read when the SDK collects.
 *
 * @returns a function that ends it
 *
 * @example
 * ```ts
 * const stop = otelMetrics(monitor, metrics.getMeter('posthaste'))
 * ```
 */
export function otelMetrics(monitor: PerformanceMonitor, meter: MeterLike): () => void {
  const duration = meter.createHistogram('http.server.request.duration', {
    description: 'Duration of HTTP server requests.',
    unit: 's',
    advice: { explicitBucketBoundaries: exposedBoundsUs.map((us) => us / 1_000_000) },
  })
  const stops = [
    monitor.onRequest(({ method, route, status, durationMs }) => {
      const attributes: Attributes = {
        'http.request.method': method,
        'http.route': route,
        'http.response.status_code': status,
      }
      // Only what failed has the attribute (HTTP metrics, `error.type`).
      if (status >= 500) attributes['error.type'] = String(status)
      duration.record(durationMs / 1_000, attributes)
    }),
  ]
  const observe = (observable: ObservableLike, callback: ObservableCallback) => {
    observable.addCallback(callback)
    stops.push(() => observable.removeCallback(callback))
  }
  const gauge = (name: string, unit: string, read: (system: SystemStats) => number | null | undefined) =>
    observe(meter.createObservableGauge(name, { unit }), (result) => {
      const value = read(monitor.system())
      if (value !== null && value !== undefined) result.observe(value)
    })

  observe(
    meter.createObservableUpDownCounter('http.server.active_requests', {
      description: 'Number of active HTTP server requests.',
      unit: '{request}',
    }),
    (result) => result.observe(monitor.inFlight),
  )
  observe(meter.createObservableUpDownCounter('process.memory.usage', { unit: 'By' }), (result) =>
    result.observe(monitor.system().memory.rssBytes),
  )
  gauge('process.cpu.utilization', '1', ({ cpuPercent }) => share(cpuPercent))
  gauge('posthaste.memory.utilization', '1', ({ memoryPercent }) => share(memoryPercent))
  gauge('nodejs.eventloop.utilization', '1', ({ eventLoop }) => eventLoop.utilization)
  for (const name of ['p50', 'p99', 'max'] as const) {
    gauge(`nodejs.eventloop.delay.${name}`, 's', ({ eventLoop: { delayMs } }) =>
      delayMs === null ? null : Math.round(delayMs[name] * 1_000) / 1_000_000,
    )
  }
  observe(meter.createObservableCounter('posthaste.cache.requests', { unit: '{request}' }), (result) => {
    for (const [cache, { hits, misses }] of monitor.cacheCounters()) {
      result.observe(hits, { cache, result: 'hit' })
      result.observe(misses, { cache, result: 'miss' })
    }
  })
  observe(meter.createObservableCounter('posthaste.cache.errors', { unit: '{error}' }), (result) => {
    for (const [cache, { errors }] of monitor.cacheCounters()) result.observe(errors, { cache })
  })
  return () => {
    for (const stop of stops.splice(0)) stop()
  }
}

function share(percent: number | null): number | null {
  return percent === null ? null : percent / 100
}
