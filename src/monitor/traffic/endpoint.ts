import type { BucketLayout } from '../../shared/buckets.ts'
import { addWaits, type RequestWaits, waitSums } from './breakdown.ts'
import { type Exemplar, PrometheusHistogram } from './prometheus-histogram.ts'
import { type PastSlice, type Slicing, SlidingWindow, sumIndex } from './sliding-window.ts'

/**
 * How a request ended. Only completed requests enter percentiles, statuses and rates. The others are counted separately: the
 * durations of aborted requests, event streams and WebSockets do not measure how fast the server responds.
 */
export type Outcome = 'completed' | 'aborted' | 'stream' | 'upgrade' | 'shed'

/** Number of requests of an endpoint that ended in this way since the start. */
export interface OtherOutcome {
  readonly method: string
  readonly route: string
  readonly outcome: Exclude<Outcome, 'completed'>
  readonly count: number
}

/** Offsets of an endpoint's counters behind the buckets of its histogram. The statuses 100 to 599 come first. */
export const counterOffset = {
  otherStatus: 500,
  aborted: 501,
  stream: 502,
  upgrade: 503,
  loopUs: 504,
  /** Aborted so late that the client did not merely change its mind. */
  abortedLate: 505,
  /** 5xx responses that were fast enough for a satisfied, or for a tolerating client. No client is satisfied with them. */
  failedSatisfied: 506,
  failedTolerating: 507,
  /**
   * Requests under way that are already too slow for a satisfied, or for a tolerating client. Added when a window is read.
   */
  openTolerating: 508,
  openFrustrated: 509,
  shed: 510,
} as const

const firstStatus = 100
const counterCount = 511

/** Stands for all numbers that are not an HTTP status. */
const noStatus = 0

/** The number of counters in an endpoint's window: buckets, then those of {@link counterOffset}. */
export function endpointWidth(layout: BucketLayout): number {
  return layout.length + counterCount
}

/** The index of a status's counter in an endpoint's window. */
export function statusIndex(layout: BucketLayout, status: number): number {
  return layout.length + status - firstStatus
}

/** Number of requests with a status of that class, as 500 for 5xx. */
export function countClass(counters: ArrayLike<number>, layout: BucketLayout, first: 400 | 500): number {
  let count = 0
  for (let status = first; status < first + 100; status++) count += counters[statusIndex(layout, status)]!
  return count
}

/** Numbers of requests by status, without the statuses that did not occur; `other` for numbers that are no HTTP status. */
export function countByStatus(
  counters: ArrayLike<number>,
  layout: BucketLayout,
  nameOf: (status: number) => string,
): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let offset = 0; offset <= counterOffset.otherStatus; offset++) {
    const count = counters[layout.length + offset]!
    if (count === 0) continue
    const name = offset === counterOffset.otherStatus ? 'other' : nameOf(offset + firstStatus)
    counts[name] = (counts[name] ?? 0) + count
  }
  return counts
}

/** What all endpoints of a monitor share. */
export interface EndpointSettings {
  readonly layout: BucketLayout
  readonly slicing: Slicing
  /** Upper bounds of the Prometheus buckets. */
  readonly boundsUs: readonly number[]
  /** Called with each slice of an endpoint that is over. */
  readonly onSlice?: (slice: PastSlice) => void
}

/** The numbers of one method and route. */
export class Endpoint {
  readonly method: string
  readonly route: string
  readonly window: SlidingWindow
  /** Since the start, by status. */
  readonly statuses: Map<number, PrometheusHistogram> = new Map()
  /** Number of requests since the start, by outcome. */
  readonly totals: Record<Outcome, number> = { completed: 0, aborted: 0, stream: 0, upgrade: 0, shed: 0 }
  /** Duration of all requests that did not complete, since the start, by outcome. */
  readonly durationsMs: Record<Exclude<Outcome, 'completed'>, number> = { aborted: 0, stream: 0, upgrade: 0, shed: 0 }
  /** Sums since the start: those of {@link waitSums}, then the microseconds of the rest. */
  readonly waits: Float64Array = new Float64Array(waitSums + 1)
  /** Starts as a number: V8 then writes it in place, while a field that starts as `undefined` allocates at each write. */
  lastSeen = 0
  /** The next method of the same route. */
  next: Endpoint | undefined
  readonly #layout: BucketLayout
  readonly #boundsUs: readonly number[]
  /** The last request's status and its histogram, kept because the next request mostly has the same status. */
  #lastStatus = -1
  #lastHistogram: PrometheusHistogram | undefined

  constructor(method: string, route: string, { layout, slicing, boundsUs, onSlice }: EndpointSettings, now: number) {
    this.#boundsUs = boundsUs
    this.method = method
    this.route = route
    this.#layout = layout
    this.window = new SlidingWindow(endpointWidth(layout), slicing, onSlice)
    this.lastSeen = now
  }

  get total(): number {
    const { completed, aborted, stream, upgrade, shed } = this.totals
    return completed + aborted + stream + upgrade + shed
  }

  /** Counts a completed request. The caller has advanced the window. */
  recordCompleted(us: number, status: number): void {
    const { window } = this
    const known = status >= 100 && status < 600 ? status | 0 : noStatus
    window.record(this.#layout.indexOf(us), us)
    window.counters[this.#layout.length + (known === noStatus ? counterOffset.otherStatus : known - firstStatus)]!++
    this.totals.completed++
    const histogram = known === this.#lastStatus ? this.#lastHistogram : this.#switchStatus(known)
    histogram!.record(us)
  }

  /** Records the waits of a request that was just recorded. */
  recordWaits(waits: RequestWaits, us: number): void {
    addWaits(this.window.sums, sumIndex.waits, waits, us)
    this.waits[waitSums]! += addWaits(this.waits, 0, waits, us)
  }

  /** Makes a request that was just recorded with this status the example of its bucket. */
  setExemplar(exemplar: Exemplar): void {
    const histogram = this.#lastHistogram!
    histogram.exemplars.set(histogram.indexOf(exemplar.us), exemplar)
  }

  /** Counts a request that did not complete. The caller has advanced the window. */
  recordIncomplete(outcome: Exclude<Outcome, 'completed'>, ms: number): void {
    if (ms > 0) this.durationsMs[outcome] += ms
    this.window.counters[this.#layout.length + counterOffset[outcome]]!++
    this.totals[outcome]++
  }

  /** Adds one to a counter of the window. The caller has advanced the window. */
  count(offset: number): void {
    this.window.counters[this.#layout.length + offset]!++
  }

  /** Adds time in which a request of this endpoint held the event loop. The caller has advanced the window. */
  recordHold(ms: number): void {
    if (ms > 0) this.window.counters[this.#layout.length + counterOffset.loopUs]! += Math.round(ms * 1_000)
  }

  #switchStatus(status: number): PrometheusHistogram {
    let histogram = this.statuses.get(status)
    if (histogram === undefined) {
      histogram = new PrometheusHistogram(this.#boundsUs)
      this.statuses.set(status, histogram)
    }
    this.#lastStatus = status
    this.#lastHistogram = histogram
    return histogram
  }
}
