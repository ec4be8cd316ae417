import type { CacheWatch } from '../caches.ts'
import type { Endpoint } from '../endpoint.ts'
import { type ExposedHistogram, exposedBoundsUs } from '../exposed.ts'
import type { SystemSampler } from '../system/sampler.ts'
import type { Timings } from '../timings.ts'
import type { ActiveAlert } from '../types.ts'

/** One line: `name + suffix {labels} value`. */
export interface Sample {
  readonly suffix?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

/** All lines of one metric. */
export interface Family {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary'
  readonly help: string
  readonly samples: Iterable<Sample>
}

/**
 * How the metric of requests is called: as OpenTelemetry's HTTP conventions come out in Prometheus, or as most dashboards
 * for Node have it.
 */
export type Naming = 'otel' | 'classic'

/** What is exposed. Counters run since the start and are never windowed: that is the business of `rate()`. */
export interface Exposed {
  readonly now: number
  readonly service: string | null
  readonly release: string | null
  readonly instance: string
  readonly inFlight: number
  readonly endpoints: readonly Endpoint[]
  readonly timings: Timings
  readonly caches: CacheWatch
  readonly system: SystemSampler
  readonly alerts: readonly ActiveAlert[]
}

/** Every metric there is. Measures without a value have no lines, and metrics without lines are left out. */
export function* families(exposed: Exposed, naming: Naming): Generator<Family> {
  const { service, release, instance, inFlight } = exposed
  const classic = naming === 'classic'
  yield gauge('target_info', 'Who this is', [
    { labels: defined({ service_name: service, service_version: release, service_instance_id: instance }), value: 1 },
  ])
  yield {
    name: classic ? 'http_request_duration_seconds' : 'http_server_request_duration_seconds',
    type: 'histogram',
    help: 'Duration of completed requests, to the close of the response',
    samples: requestSamples(exposed.endpoints, classic),
  }
  yield gauge(classic ? 'http_requests_in_flight' : 'http_server_active_requests', 'Requests that have not ended', [
    { value: inFlight },
  ])
  yield {
    name: 'posthaste_request_ended_otherwise_seconds',
    type: 'summary',
    help: 'Requests that were aborted by the client, were event streams, or were upgraded, and how long they lasted',
    samples: outcomeSamples(exposed.endpoints, classic),
  }
  yield {
    name: 'posthaste_timing_duration_seconds',
    type: 'histogram',
    help: 'Durations recorded with recordTiming and time',
    samples: exposed.timings.exposed().flatMap(([name, histogram]) => [...histogramSamples(histogram, { name })]),
  }
  yield* cacheFamilies(exposed.caches)
  yield* systemFamilies(exposed.system, exposed.now)
  yield gauge(
    'posthaste_alert_state',
    'Alerts: 1 pending, 2 firing, 0 resolved',
    exposed.alerts.map(({ id, target, state }) => ({
      labels: defined({ alert: id, target }),
      value: { resolved: 0, pending: 1, firing: 2 }[state],
    })),
  )
}

function* requestSamples(endpoints: readonly Endpoint[], classic: boolean): Generator<Sample> {
  for (const { method, route, statuses } of endpoints) {
    for (const [status, histogram] of statuses) {
      const labels = requestLabels(method, route, classic)
      yield* histogramSamples(histogram, {
        ...labels,
        [classic ? 'status_code' : 'http_response_status_code']: String(status),
      })
    }
  }
}

function* outcomeSamples(endpoints: readonly Endpoint[], classic: boolean): Generator<Sample> {
  for (const { method, route, totals, lastedMs } of endpoints) {
    for (const outcome of ['aborted', 'stream', 'upgrade'] as const) {
      if (totals[outcome] === 0) continue
      const labels = { ...requestLabels(method, route, classic), outcome }
      yield { suffix: '_sum', labels, value: lastedMs[outcome] / 1_000 }
      yield { suffix: '_count', labels, value: totals[outcome] }
    }
  }
}

function requestLabels(method: string, route: string, classic: boolean): Record<string, string> {
  return classic ? { method, route } : { http_request_method: method, http_route: route }
}

function* histogramSamples(
  { counts, sumSeconds }: ExposedHistogram,
  labels: Readonly<Record<string, string>>,
): Generator<Sample> {
  let seen = 0
  for (const [place, boundUs] of exposedBoundsUs.entries()) {
    seen += counts[place]!
    yield { suffix: '_bucket', labels: { ...labels, le: canonical(boundUs / 1_000_000) }, value: seen }
  }
  seen += counts.at(-1)!
  yield { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: seen }
  yield { suffix: '_sum', labels, value: sumSeconds }
  yield { suffix: '_count', labels, value: seen }
}

/** OpenMetrics wants `1.0`, and the older format does not mind; one text for both keeps the series one. */
function canonical(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound)
}

function* cacheFamilies(caches: CacheWatch): Generator<Family> {
  const counters = caches.lifetime()
  yield {
    name: 'posthaste_cache_requests_total',
    type: 'counter',
    help: 'Reads of a cache by their result',
    samples: counters.flatMap(([cache, { hits, misses }]) => [
      { labels: { cache, result: 'hit' }, value: hits },
      { labels: { cache, result: 'miss' }, value: misses },
    ]),
  }
  yield {
    name: 'posthaste_cache_errors_total',
    type: 'counter',
    help: 'Errors of a cache',
    samples: counters.map(([cache, { errors }]) => ({ labels: { cache }, value: errors })),
  }
}

function* systemFamilies(system: SystemSampler, now: number): Generator<Family> {
  const { cpuPercent, cpu, memoryPercent, memory, disk, eventLoop } = system.stats(now)
  const { stalls, gc } = system.lifetime
  const ratio = (percent: number | null) => (percent === null ? null : percent / 100)
  yield single('process_cpu_utilization_ratio', 'Processor use, of what the process may use', ratio(cpuPercent))
  yield single('process_cpu_limit_cores', 'Processors the process may use', cpu.limitCores)
  yield single('process_cpu_throttled_ratio', 'Periods held back by the quota', ratio(cpu.throttledPercent))
  yield single('process_memory_limit_ratio', 'Working set, of the memory limit', ratio(memoryPercent))
  yield single('process_memory_working_set_bytes', 'Working set', memory.workingSetBytes)
  yield single('process_resident_memory_bytes', 'Resident memory', memory.rssBytes)
  yield single('v8js_heap_limit_ratio', 'Heap in use, of its limit', ratio(memory.heapPercent))
  yield gauge(
    'system_filesystem_utilization_ratio',
    'Space in use of a file system',
    disk.map(({ path, percent }) => ({ labels: { path }, value: percent / 100 })),
  )
  yield single('nodejs_eventloop_utilization_ratio', 'Share of time the event loop was busy', eventLoop.utilization)
  for (const name of ['p50', 'p99', 'max'] as const) {
    const ms = eventLoop.delayMs?.[name]
    yield single(
      `nodejs_eventloop_delay_${name}_seconds`,
      'Delay of the event loop',
      ms === undefined ? null : Math.round(ms * 1_000) / 1_000_000,
    )
  }
  yield times('nodejs_eventloop_stall_seconds', 'Blocks of the event loop of 50 ms and more', stalls)
  yield times('nodejs_gc_pause_seconds', 'Garbage collections', gc)
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: 'gauge', help, samples }
}

function single(name: string, help: string, value: number | null): Family {
  return gauge(name, help, value === null ? [] : [{ value }])
}

function times(name: string, help: string, { count, totalMs }: { count: number; totalMs: number }): Family {
  const samples = [
    { suffix: '_sum', value: totalMs / 1_000 },
    { suffix: '_count', value: count },
  ]
  return { name, type: 'summary', help, samples }
}

function defined(labels: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter((label): label is [string, string] => label[1] !== null))
}
