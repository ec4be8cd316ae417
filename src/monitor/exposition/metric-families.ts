import { waitNames } from '../../shared/scope/wait-names.ts'
import type { AdmissionStats } from '../admission/admission.ts'
import type { AlertJudge, AlertSources } from '../alerts/alert-judge.ts'
import type { CacheWatch } from '../cache-watch.ts'
import type { MonitorSettings } from '../options.ts'
import type { SystemSampler } from '../system/sampler.ts'
import type { Endpoint } from '../traffic/endpoint.ts'
import type { PrometheusHistogram } from '../traffic/prometheus-histogram.ts'
import { gauge, type MetricFamily, type Sample, single } from './metric-family.ts'
import { countOpenFiles, type OpenFiles, processFamilies } from './process-families.ts'

/** Where the numbers to expose come from. Counters run since the start: Prometheus's `rate()` computes the windows. */
export interface MetricsSources extends AlertSources {
  readonly settings: MonitorSettings
  readonly alerts: AlertJudge
}

/**
 * All metrics of this process now, with the names of `otel`. A metric without a value has no lines, and is left out of the
 * text. Judges the alerts first.
 */
export async function readMetrics(sources: MetricsSources): Promise<Iterable<MetricFamily>> {
  await sources.alerts.judgeInSlices()
  return metricFamilies(sources, await countOpenFiles())
}

function* metricFamilies(sources: MetricsSources, openFiles: OpenFiles | undefined): Generator<MetricFamily> {
  const { settings, recorder, caches, admission } = sources
  const created = settings.wall.at(recorder.countingSince) / 1_000
  // A metric that counts since another time has its own `created`.
  for (const family of ownFamilies(sources)) yield { created, ...family }
  yield* cacheFamilies(caches)
  if (admission.hasSources) yield* admissionFamilies(admission.read())
  yield* processFamilies(openFiles)
}

function* ownFamilies({ settings, recorder, system, alerts }: MetricsSources): Generator<MetricFamily> {
  const { service, release, instance } = settings
  const now = settings.clock()
  const listed = alerts.list()
  const { unanswered, oldestMs } = recorder.unanswered(now)
  const { inFlight, timings } = recorder
  const endpoints = recorder.endpoints.all()
  const target = nonNull({ service_name: service, service_version: release, service_instance_id: instance })
  yield { name: 'target_info', type: 'info', help: 'Who this is', samples: [{ labels: target, value: 1 }] }
  yield {
    name: 'http_server_request_duration_seconds',
    type: 'histogram',
    help: 'Duration of completed requests, to the close of the response',
    samples: requestSamples(endpoints),
  }
  yield gauge('http_server_active_requests', 'Requests that have not ended', [{ value: inFlight }])
  yield single('posthaste_requests_unanswered', 'Requests under way for longer than slow.threshold', unanswered)
  yield single(
    'posthaste_oldest_request_seconds',
    'Age of the oldest request under way, without event streams and upgrades',
    oldestMs === null ? 0 : oldestMs / 1_000,
  )
  yield {
    name: 'posthaste_request_ended_otherwise_seconds',
    type: 'summary',
    help: 'Requests that were aborted by the client, were event streams, were upgraded, or were turned away, and how long they lasted',
    samples: outcomeSamples(endpoints),
  }
  yield {
    name: 'posthaste_request_part_seconds_total',
    type: 'counter',
    help: 'Where the time of completed requests went; the parts sum to the whole',
    samples: partSamples(endpoints),
  }
  yield {
    name: 'posthaste_timing_duration_seconds',
    type: 'histogram',
    help: 'Durations recorded with recordTiming and time',
    samples: timings.histograms().flatMap(([name, histogram]) => [...histogramSamples(histogram, { name })]),
  }
  yield* systemFamilies(system, now)
  yield gauge(
    'posthaste_alert_state',
    'Alerts: 1 pending, 2 firing, 0 resolved',
    listed.map(({ id, target, state }) => ({
      labels: nonNull({ alert: id, target }),
      value: { resolved: 0, pending: 1, firing: 2 }[state],
    })),
  )
}

function* requestSamples(endpoints: readonly Endpoint[]): Generator<Sample> {
  for (const { method, route, statuses } of endpoints) {
    for (const [status, histogram] of statuses) {
      yield* histogramSamples(histogram, {
        ...requestLabels(method, route),
        http_response_status_code: String(status),
      })
    }
  }
}

function* outcomeSamples(endpoints: readonly Endpoint[]): Generator<Sample> {
  for (const { method, route, totals, durationsMs } of endpoints) {
    for (const outcome of ['aborted', 'stream', 'upgrade', 'shed'] as const) {
      if (totals[outcome] === 0) continue
      const labels = { ...requestLabels(method, route), outcome }
      yield { suffix: '_sum', labels, value: durationsMs[outcome] / 1_000 }
      yield { suffix: '_count', labels, value: totals[outcome] }
    }
  }
}

function* partSamples(endpoints: readonly Endpoint[]): Generator<Sample> {
  for (const { method, route, waits } of endpoints) {
    if (waits[0] === 0) continue
    for (const [index, part] of [...waitNames, 'rest'].entries()) {
      yield { labels: { ...requestLabels(method, route), part }, value: waits[1 + index]! / 1_000_000 }
    }
  }
}

function requestLabels(method: string, route: string): Record<string, string> {
  return { http_request_method: method, http_route: route }
}

function* histogramSamples(
  { boundsUs, counts, exemplars, sumSeconds }: PrometheusHistogram,
  labels: Readonly<Record<string, string>>,
): Generator<Sample> {
  let seen = 0
  for (const [place, boundUs] of boundsUs.entries()) {
    seen += counts[place]!
    yield {
      suffix: '_bucket',
      labels: { ...labels, le: formatBound(boundUs / 1_000_000) },
      value: seen,
      exemplar: exemplars.get(place),
    }
  }
  seen += counts.at(-1)!
  yield { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: seen, exemplar: exemplars.get(boundsUs.length) }
  yield { suffix: '_sum', labels, value: sumSeconds }
  yield { suffix: '_count', labels, value: seen }
}

/** OpenMetrics requires `1.0`. The older format gets the same text, so that both name the same series. */
function formatBound(bound: number): string {
  return Number.isInteger(bound) ? `${bound}.0` : String(bound)
}

function* cacheFamilies(caches: CacheWatch): Generator<MetricFamily> {
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

function* admissionFamilies({ limit, inFlight, waitMs, state, shedBy }: AdmissionStats): Generator<MetricFamily> {
  yield {
    name: 'posthaste_requests_shed_total',
    type: 'counter',
    help: 'Requests that were turned away',
    samples: shedBy.map(({ reason, priority, count }) => ({ labels: { reason, priority }, value: count })),
  }
  yield single('posthaste_admission_limit', 'How many requests may be in flight; no line without a limit', limit)
  yield single('posthaste_admission_in_flight', 'Requests that were let in and have not ended', inFlight)
  yield single('posthaste_admission_wait_seconds', 'How long a request would wait for its handler', waitMs / 1_000)
  yield single('posthaste_admission_shedding', '1 while requests are turned away', state === 'shedding' ? 1 : 0)
}

function* systemFamilies(system: SystemSampler, now: number): Generator<MetricFamily> {
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
  yield durationSummary('nodejs_eventloop_stall_seconds', 'Blocks of the event loop of 50 ms and more', stalls)
  yield durationSummary('nodejs_gc_pause_seconds', 'Garbage collections', gc)
}

function durationSummary(
  name: string,
  help: string,
  durations: { readonly count: number; readonly totalMs: number } | null,
): MetricFamily {
  const samples =
    durations === null
      ? []
      : [
          { suffix: '_sum', value: durations.totalMs / 1_000 },
          { suffix: '_count', value: durations.count },
        ]
  return { name, type: 'summary', help, samples }
}

function nonNull(labels: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter((label): label is [string, string] => label[1] !== null))
}
