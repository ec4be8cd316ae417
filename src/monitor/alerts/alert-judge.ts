import type { BucketLayout } from '../../shared/buckets.ts'
import { runInSlices } from '../../shared/time/slices.ts'
import type { Admission } from '../admission/admission.ts'
import type { CacheWatch } from '../cache-watch.ts'
import type { MonitorSettings } from '../options.ts'
import type { Recorder } from '../recorder.ts'
import type { SystemSampler } from '../system/sampler.ts'
import { counterOffset, type Endpoint, endpointWidth, statusIndex } from '../traffic/endpoint.ts'
import type { OpenRequests } from '../traffic/open-requests.ts'
import { Tally } from '../traffic/tally.ts'
import type { ActiveAlert, AlertEvent, CacheRow, DatabaseSection, SystemStats } from '../types.ts'
import { Alerts, type CauseOf, type Measurement } from './alerts.ts'
import { findCauses } from './causes.ts'

/** The numbers that the rules judge. */
interface AlertInputs {
  readonly now: number
  readonly layout: BucketLayout
  readonly endpoints: readonly Endpoint[]
  readonly open: OpenRequests
  readonly caches: Readonly<Record<string, CacheRow>>
  readonly system: SystemStats
  readonly systemSamples: number
  /** The longest recent stall of the event loop; `null` when stalls are not measured. */
  readonly longestStallMs: number | null
}

/** Where the judged numbers come from. */
export interface AlertSources {
  readonly recorder: Recorder
  readonly caches: CacheWatch
  readonly admission: Admission
  readonly system: SystemSampler
}

interface JudgeEvents {
  readonly onEvent: (event: AlertEvent) => void
  /** Reads the section that `instrument` fills, for the causes. */
  readonly readDatabase: () => DatabaseSection | null
}

/** Judges the numbers of the monitor by the alert rules. */
export class AlertJudge {
  readonly #settings: MonitorSettings
  readonly #sources: AlertSources
  readonly #alerts: Alerts

  constructor(settings: MonitorSettings, sources: AlertSources, { onEvent, readDatabase }: JudgeEvents) {
    const { rules, slicing, clock, wall, layout } = settings
    this.#settings = settings
    this.#sources = sources
    const currentCauses = (): CauseOf => {
      const now = clock()
      const { recorder, system, admission } = sources
      const coveredMs = recorder.coveredMs(now)
      return findCauses({
        now,
        coveredMs,
        layout,
        endpoints: recorder.endpoints.all(),
        system: system.stats(now),
        readDatabase,
        shedBy: admission.read().shedBy,
      })
    }
    this.#alerts = new Alerts(rules, { keepMs: slicing.windowMs, wall, findCauses: currentCauses, onEvent })
  }

  judge(): void {
    this.#sources.system.sampleIfDue()
    const now = this.#settings.clock()
    this.#alerts.evaluate(now, measureForAlerts(this.#alerts, this.#readInputs(now)))
  }

  /** Once per time slice all windows advance, which is most of the work: this lets the event loop turn meanwhile. */
  async judgeInSlices(): Promise<void> {
    await runInSlices(this.#sources.recorder.advanceWindows())
    this.judge()
  }

  list(): ActiveAlert[] {
    return this.#alerts.list()
  }

  clear(): void {
    this.#alerts.clear()
  }

  #readInputs(now: number): AlertInputs {
    const { recorder, caches, system } = this.#sources
    return {
      now,
      layout: this.#settings.layout,
      endpoints: recorder.endpoints.all(),
      open: recorder.open,
      caches: caches.rows(now),
      system: system.stats(now),
      systemSamples: system.samples,
      longestStallMs: system.longestStallMs(now),
    }
  }
}

/** Measures everything that the rules judge, without expensive values that no rule needs. */
function* measureForAlerts(alerts: Alerts, inputs: AlertInputs): Generator<Measurement> {
  const { system, systemSamples: samples, longestStallMs, caches } = inputs
  yield* measureResponseTimes(alerts, inputs)
  yield* measureAborted(alerts, inputs)
  yield* measureOpenRequests(alerts, inputs)
  if (alerts.rule('error_rate') !== undefined) yield measureErrorRate(inputs)
  if (alerts.rule('shedding') !== undefined) yield measureShedding(inputs)
  for (const [target, { errorRate: rate, hits, misses, errors }] of Object.entries(caches)) {
    const value = rate === null ? null : rate * 100
    yield { id: 'cache_errors', target, value, samples: Math.max(hits + misses, errors) }
  }
  yield { id: 'cpu', target: null, value: system.cpuPercent, samples }
  yield { id: 'memory', target: null, value: system.memoryPercent, samples }
  yield { id: 'event_loop', target: null, value: longestStallMs, samples }
  for (const { path, percent } of system.disk) yield { id: 'disk', target: path, value: percent, samples }
}

/** Skips percentiles where even the longest latency is under the threshold, which is true of most endpoints. */
function* measureResponseTimes(alerts: Alerts, { now, layout, endpoints }: AlertInputs): Generator<Measurement> {
  const rule = alerts.rule('response_time')
  if (rule === undefined) return
  const tally = new Tally(endpointWidth(layout), layout)
  for (const { method, route, window } of endpoints) {
    const target = `${method} ${route}`
    if (window.maxUs(now) <= rule.threshold * 1_000 && !alerts.isListed('response_time', target)) continue
    tally.clear()
    window.readInto(tally, now)
    yield { id: 'response_time', target, value: tally.latency().p95Ci?.[0] ?? null, samples: tally.count }
  }
}

function* measureAborted(alerts: Alerts, { now, layout, endpoints }: AlertInputs): Generator<Measurement> {
  if (alerts.rule('aborted') === undefined) return
  for (const { method, route, window } of endpoints) {
    const target = `${method} ${route}`
    const aborted = window.sumOf(now, layout.length + counterOffset.aborted)
    if (aborted === 0 && !alerts.isListed('aborted', target)) continue
    const samples = window.count(now) + aborted
    yield { id: 'aborted', target, value: samples === 0 ? null : (aborted / samples) * 100, samples }
  }
}

/** The oldest request under way of each endpoint, where it is old enough to matter. */
function* measureOpenRequests(alerts: Alerts, { now, open }: AlertInputs): Generator<Measurement> {
  const rule = alerts.rule('in_flight')
  if (rule === undefined) return
  const byTarget = new Map<string | null, { value: number; samples: number }>()
  open.forEachBefore(now - rule.clear, (startedAt, request) => {
    if (request?.isLongLived || request?.route === null) return
    const target = request === undefined ? null : `${request.method} ${request.route}`
    const { value, samples } = byTarget.get(target) ?? { value: 0, samples: 0 }
    byTarget.set(target, { value: Math.max(value, now - startedAt), samples: samples + 1 })
  })
  for (const [target, measured] of byTarget) yield { id: 'in_flight', target, ...measured }
}

function measureShedding({ now, layout, endpoints }: AlertInputs): Measurement {
  let completed = 0
  let shed = 0
  for (const { window } of endpoints) {
    completed += window.count(now)
    shed += window.sumOf(now, layout.length + counterOffset.shed)
  }
  const samples = completed + shed
  return { id: 'shedding', target: null, value: samples === 0 ? null : (shed / samples) * 100, samples }
}

function measureErrorRate({ now, layout, endpoints }: AlertInputs): Measurement {
  let completed = 0
  let failed = 0
  for (const { window } of endpoints) {
    completed += window.count(now)
    failed += window.sumOf(now, statusIndex(layout, 500), statusIndex(layout, 599))
  }
  return {
    id: 'error_rate',
    target: null,
    value: completed === 0 ? null : (failed / completed) * 100,
    samples: completed,
  }
}
