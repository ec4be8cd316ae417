import type { BucketLayout } from '../../shared/buckets.ts'
import { runInSlices } from '../../shared/time/slices.ts'
import type { Admission } from '../admission/admission.ts'
import type { CacheWatch } from '../cache-watch.ts'
import type { MonitorSettings } from '../options.ts'
import type { Recorder } from '../recorder.ts'
import type { SystemSampler } from '../system/sampler.ts'
import { counterOffset, type Endpoint, endpointWidth, statusIndex } from '../traffic/endpoint.ts'
import type { OpenRequests } from '../traffic/open-requests.ts'
import type { SlidingWindow } from '../traffic/sliding-window.ts'
import { Tally } from '../traffic/tally.ts'
import type { ActiveAlert, AlertEvent, AlertId, DatabaseSection } from '../types.ts'
import { Alerts, type CauseOf, type Measurement } from './alerts.ts'
import { findCauses } from './causes.ts'
import { ShedReasons } from './shed-reasons.ts'

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
  readonly #shedReasons: ShedReasons
  #isJudging = false

  constructor(settings: MonitorSettings, sources: AlertSources, { onEvent, readDatabase }: JudgeEvents) {
    const { rules, slicing, clock, wall, layout } = settings
    const { recorder, system } = sources
    const shedReasons = new ShedReasons(slicing)
    this.#shedReasons = shedReasons
    this.#settings = settings
    this.#sources = sources
    const currentCauses = (): CauseOf => {
      const now = clock()
      return findCauses({
        now,
        coveredMs: recorder.coveredMs(now),
        layout,
        endpoints: recorder.endpoints.all(),
        system: system.stats(now),
        readDatabase,
        shedReason: shedReasons.main,
      })
    }
    this.#alerts = new Alerts(rules, { keepMs: slicing.windowMs, wall, findCauses: currentCauses, onEvent })
  }

  /** Does nothing when a listener of `alert` reads a document, which would call it again. */
  judge(): void {
    if (this.#isJudging) return
    this.#isJudging = true
    try {
      this.#sources.system.sampleIfDue()
      const now = this.#settings.clock()
      this.#alerts.evaluate(now, this.#measure(now))
    } finally {
      this.#isJudging = false
    }
  }

  /** Lets the event loop turn while the windows advance. They do so once per time slice, which is most of the work. */
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

  /** Measures everything that the rules judge, without expensive values that no rule needs. */
  *#measure(now: number): Generator<Measurement> {
    const { recorder, caches, admission, system } = this.#sources
    const rows = caches.rows(now)
    const { cpuPercent, memoryPercent, disk } = system.stats(now)
    const { samples } = system
    const longestStallMs = system.longestStallMs(now)
    const traffic = { now, layout: this.#settings.layout, endpoints: recorder.endpoints.all() }
    yield* measureResponseTimes(this.#alerts, traffic)
    yield* measureAborted(this.#alerts, traffic)
    yield* measureOpenRequests(this.#alerts, now, recorder.open)
    if (this.#alerts.rule('error_rate') !== undefined) yield measureErrorRate(traffic)
    if (this.#alerts.rule('shedding') !== undefined) {
      this.#shedReasons.update(now, admission.read().shedBy)
      yield measureShedding(traffic)
    }
    for (const [target, { errorRate, hits, misses, errors }] of Object.entries(rows)) {
      const value = errorRate === null ? null : errorRate * 100
      yield { id: 'cache_errors', target, value, samples: Math.max(hits + misses, errors) }
    }
    yield { id: 'cpu', target: null, value: cpuPercent, samples }
    yield { id: 'memory', target: null, value: memoryPercent, samples }
    yield { id: 'event_loop', target: null, value: longestStallMs, samples }
    for (const { path, percent } of disk) yield { id: 'disk', target: path, value: percent, samples }
  }
}

/** The requests in the window. */
interface Traffic {
  readonly now: number
  readonly layout: BucketLayout
  readonly endpoints: readonly Endpoint[]
}

/** Skips percentiles where even the longest latency is under the threshold, as it is for most endpoints. */
function* measureResponseTimes(alerts: Alerts, { now, layout, endpoints }: Traffic): Generator<Measurement> {
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

function* measureAborted(alerts: Alerts, { now, layout, endpoints }: Traffic): Generator<Measurement> {
  if (alerts.rule('aborted') === undefined) return
  for (const { method, route, window } of endpoints) {
    const target = `${method} ${route}`
    const aborted = window.sumOf(now, layout.length + counterOffset.aborted)
    if (aborted === 0 && !alerts.isListed('aborted', target)) continue
    yield shareOf('aborted', target, aborted, window.count(now) + aborted)
  }
}

/** The oldest request under way of each endpoint, where it is old enough to matter. */
function* measureOpenRequests(alerts: Alerts, now: number, open: OpenRequests): Generator<Measurement> {
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

function measureErrorRate({ now, layout, endpoints }: Traffic): Measurement {
  const failed = sum(endpoints, (window) => window.sumOf(now, statusIndex(layout, 500), statusIndex(layout, 599)))
  return shareOf('error_rate', null, failed, countCompleted(endpoints, now))
}

function measureShedding({ now, layout, endpoints }: Traffic): Measurement {
  const shed = sum(endpoints, (window) => window.sumOf(now, layout.length + counterOffset.shed))
  return shareOf('shedding', null, shed, countCompleted(endpoints, now) + shed)
}

function countCompleted(endpoints: readonly Endpoint[], now: number): number {
  return sum(endpoints, (window) => window.count(now))
}

function sum(endpoints: readonly Endpoint[], read: (window: SlidingWindow) => number): number {
  return endpoints.reduce((total, { window }) => total + read(window), 0)
}

/** A part of the requests, in percent. */
function shareOf(id: AlertId, target: string | null, part: number, samples: number): Measurement {
  return { id, target, value: samples === 0 ? null : (part / samples) * 100, samples }
}
