import { expectObject } from '../../shared/arguments.ts'
import type { PerformanceMonitor } from '../monitor.ts'
import { overflowRoute, unmatchedRoute } from '../traffic/endpoints.ts'

/** The part of a `Meter` of `@opentelemetry/api` that {@link otelMetrics} needs. */
export interface MeterLike {
  createHistogram(name: string, options: InstrumentOptions): { record(value: number, attributes: Attributes): void }
  createObservableGauge(name: string, options: InstrumentOptions): ObservableLike
  createObservableCounter(name: string, options: InstrumentOptions): ObservableLike
  createObservableUpDownCounter(name: string, options: InstrumentOptions): ObservableLike
}

/** The part of an observable instrument that {@link otelMetrics} needs. */
export interface ObservableLike {
  addCallback(callback: ObservableCallback): void
  removeCallback(callback: ObservableCallback): void
}

/** The SDK calls it on each collection. */
export type ObservableCallback = (result: { observe(value: number, attributes?: Attributes): void }) => void

interface InstrumentOptions {
  description?: string
  unit?: string
  advice?: { explicitBucketBoundaries?: number[] }
}

type Attributes = Record<string, string | number>

/**
 * Reports the monitor's numbers to OpenTelemetry, with the names and units of the semantic conventions (HTTP, process, Node.js
 * runtime), and `posthaste.*` names for the rest. Records the duration of each request as it ends, which costs as much as the
 * SDK's histogram; reads everything else when the SDK collects.
 *
 * @returns a function that stops the reports
 *
 * @example
 * ```ts
 * const stop = otelMetrics(monitor, metrics.getMeter('posthaste'))
 * ```
 */
export function otelMetrics(monitor: PerformanceMonitor, meter: MeterLike): () => void {
  expectObject(monitor, 'monitor', ['onRequest', 'system'], 'a PerformanceMonitor')
  const methods = [
    'createHistogram',
    'createObservableGauge',
    'createObservableCounter',
    'createObservableUpDownCounter',
  ]
  expectObject(meter, 'meter', methods, "a meter of '@opentelemetry/api'")
  // The SDK's own bounds are made for milliseconds: nearly all durations in seconds would be in its first bucket.
  const inSeconds = { unit: 's', advice: { explicitBucketBoundaries: monitor.bucketBounds } }
  const duration = meter.createHistogram('http.server.request.duration', {
    ...inSeconds,
    description: 'Duration of HTTP server requests.',
  })
  const stops = [
    monitor.onRequest(({ method, route, status, durationMs }) => {
      const attributes: Attributes = { ...endpointAttributes(method, route), 'http.response.status_code': status }
      // Only failed requests have this attribute (HTTP metrics, `error.type`).
      if (status >= 500) attributes['error.type'] = String(status)
      duration.record(durationMs / 1_000, attributes)
    }),
  ]
  const observe = (observable: ObservableLike, callback: ObservableCallback) => {
    observable.addCallback(callback)
    stops.push(() => observable.removeCallback(callback))
  }
  const gauge = (name: string, unit: string, read: () => number | null) =>
    observe(meter.createObservableGauge(name, { unit }), (result) => {
      const value = read()
      if (value !== null) result.observe(value)
    })

  observe(
    meter.createObservableUpDownCounter('http.server.active_requests', {
      description: 'Number of active HTTP server requests.',
      unit: '{request}',
    }),
    (result) => result.observe(monitor.inFlight),
  )
  observe(meter.createObservableUpDownCounter('process.memory.usage', { unit: 'By' }), (result) => {
    const { rssBytes } = monitor.system().memory
    if (rssBytes !== null) result.observe(rssBytes)
  })
  gauge('process.cpu.utilization', '1', () => share(monitor.system().cpuPercent))
  gauge('posthaste.memory.utilization', '1', () => share(monitor.system().memoryPercent))
  gauge('nodejs.eventloop.utilization', '1', () => monitor.system().eventLoop.utilization)
  for (const name of ['p50', 'p99', 'max'] as const) {
    gauge(`nodejs.eventloop.delay.${name}`, 's', () => {
      const { delayMs } = monitor.system().eventLoop
      return delayMs === null ? null : Math.round(delayMs[name] * 1_000) / 1_000_000
    })
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
  observe(meter.createObservableCounter('posthaste.requests.ended_otherwise', { unit: '{request}' }), (result) => {
    // Endpoints without a route may have the same attributes, of which the SDK keeps the last value alone.
    const sums = new Map<string, { attributes: Attributes; count: number }>()
    for (const { method, route, outcome, count } of monitor.otherOutcomes()) {
      const attributes = { ...endpointAttributes(method, route), outcome }
      const key = JSON.stringify(attributes)
      sums.set(key, { attributes, count: count + (sums.get(key)?.count ?? 0) })
    }
    for (const { attributes, count } of sums.values()) result.observe(count, attributes)
  })
  observe(meter.createObservableCounter('posthaste.requests.shed', { unit: '{request}' }), (result) => {
    for (const { reason, priority, count } of monitor.admission().shedBy) result.observe(count, { reason, priority })
  })
  gauge('posthaste.admission.limit', '{request}', () => monitor.admission().limit)
  gauge('posthaste.admission.wait', 's', () => monitor.admission().waitMs / 1_000)
  observe(meter.createObservableGauge('posthaste.alert.state', { description: stateText }), (result) => {
    for (const { id, target, state } of monitor.alerts()) {
      const attributes: Attributes = target === null ? { alert: id } : { alert: id, target }
      result.observe({ resolved: 0, pending: 1, firing: 2 }[state], attributes)
    }
  })
  const timing = meter.createHistogram('posthaste.timing.duration', inSeconds)
  const stall = meter.createHistogram('posthaste.eventloop.stall.duration', inSeconds)
  const collection = meter.createHistogram('v8js.gc.duration', {
    description: 'Garbage collection duration.',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.01, 0.1, 1, 10] },
  })
  stops.push(
    monitor.onTiming(({ name, durationMs }) => timing.record(durationMs / 1_000, { name })),
    monitor.on('stall', ({ ms }) => stall.record(ms / 1_000, {})),
    monitor.onGc(({ type, ms }) => collection.record(ms / 1_000, { 'v8js.gc.type': type })),
  )
  return () => {
    for (const stop of stops.splice(0)) stop()
  }
}

const stateText = '1 pending, 2 firing, 0 resolved'

/** Requests that no route answered have no `http.route` (HTTP metrics, `http.route`). */
function endpointAttributes(method: string, route: string): Attributes {
  const attributes: Attributes = { 'http.request.method': method }
  if (route !== unmatchedRoute && route !== overflowRoute) attributes['http.route'] = route
  return attributes
}

function share(percent: number | null): number | null {
  return percent === null ? null : percent / 100
}
