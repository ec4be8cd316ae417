import { describeValue, expectObject, expectText } from '../shared/arguments.ts'
import { isClamped, longestUs, toMicroseconds } from '../shared/buckets.ts'
import type { Emitter } from '../shared/emitter.ts'
import type { MonitorSettings } from './options.ts'
import type { RecorderEvents } from './recorder-events.ts'
import { StallTracker, stallClocks } from './stalls/stall-tracker.ts'
import type { RequestWaits } from './traffic/breakdown.ts'
import { counterOffset, type Endpoint } from './traffic/endpoint.ts'
import { cutName, Endpoints, overflowRoute } from './traffic/endpoints.ts'
import { type HistorySlice, TrafficHistory } from './traffic/history.ts'
import { type OpenRequest, OpenRequests } from './traffic/open-requests.ts'
import type { Reading } from './traffic/reading.ts'
import { sliceStart, windowStart } from './traffic/sliding-window.ts'
import { readTraceparent, type SlowEntry, SlowRequests, toSlowRequest, traceIdOf } from './traffic/slow-requests.ts'
import type { WindowReading } from './traffic/tally.ts'
import { Timings } from './traffic/timings.ts'
import { type EndpointReading, readEndpoint, toleratedUs, type UnansweredCounts } from './traffic/traffic-stats.ts'
import type { OtherOutcome, Outcome, SlowRequest } from './types.ts'

/**
 * A client that gives up sooner may have changed its mind, as at each key in a field of suggestions: up to a tenth of a second
 * people take an answer for instantaneous (Miller 1968, Nielsen 1993).
 */
const noticedMs = 100

/** Records requests. Every request pays for this code: `start` and `record` allocate nothing. */
export class Recorder {
  readonly endpoints: Endpoints
  readonly timings: Timings
  readonly slowRequests: SlowRequests
  readonly open: OpenRequests = new OpenRequests()
  readonly history: TrafficHistory
  /** Since when requests are counted, by the monitor's clock. */
  countingSince: number
  readonly #settings: MonitorSettings
  readonly #clock: MonitorSettings['clock']
  readonly #events: Pick<Emitter<RecorderEvents>, 'hears' | 'emit'>
  readonly #routes = new WeakMap<object, string | null>()
  #stalls: StallTracker | undefined
  #clamped = 0
  readonly #satisfiedIndex: number
  readonly #toleratingIndex: number
  readonly #lateAbortMs: number

  constructor(settings: MonitorSettings, events: Pick<Emitter<RecorderEvents>, 'hears' | 'emit'>) {
    const { clock, layout, maxEndpoints, keepSlow, slowUs, stallCorrection } = settings
    this.#settings = settings
    this.#clock = clock
    this.#events = events
    this.countingSince = clock()
    const history = new TrafficHistory(settings)
    this.history = history
    this.endpoints = new Endpoints({ ...settings, onSlice: (slice) => history.add(slice) }, maxEndpoints)
    this.timings = new Timings(settings, maxEndpoints)
    this.slowRequests = new SlowRequests(keepSlow)
    this.#satisfiedIndex = layout.indexOf(Math.min(slowUs, longestUs))
    this.#toleratingIndex = layout.indexOf(toleratedUs(slowUs))
    this.#lateAbortMs = Math.min(noticedMs, slowUs / 1_000)
    if (stallCorrection) this.#stalls = new StallTracker(stallClocks(clock))
  }

  /** Counts a request as in flight and returns its start stamp. */
  start(request: OpenRequest | undefined): number {
    const startedAt = this.#stalls === undefined ? this.#clock() : this.#stalls.start()
    this.open.stamp[0] = startedAt
    this.open.add(request)
    return startedAt
  }

  /** Counts a request that ended now. A `null` route was already taken out by {@link setRoute}. */
  record(
    method: string,
    route: string | null,
    status: number,
    startedAt: number,
    outcome: Outcome,
    traceparent: string | (() => string | undefined) | undefined,
    waits?: RequestWaits | undefined,
  ): void {
    const now = this.#clock()
    this.open.stamp[0] = startedAt
    this.open.remove(route === null)
    if (route === null) return
    const endpoint = this.endpoints.find(method, route) ?? this.endpoints.add(method, route, now)
    if (now >= endpoint.window.end) endpoint.window.advance(now)
    endpoint.lastSeen = now
    if (outcome !== 'completed') {
      endpoint.recordIncomplete(outcome, now - startedAt)
      if (outcome === 'aborted' && now - startedAt >= this.#lateAbortMs) {
        this.#recordLateAbort(endpoint, status, startedAt, now, traceparent)
      }
      return
    }
    const us = toMicroseconds(now - startedAt)
    if ((us === 1 || us === longestUs) && isClamped(now - startedAt)) this.#clamped++
    endpoint.recordCompleted(us, status)
    if (waits !== undefined) endpoint.recordWaits(waits, us)
    if (status >= 500 && status < 600) this.#recordFailure(endpoint, us)
    const slow = us > this.#settings.slowUs ? this.slowRequests.nextEntry() : undefined
    if (slow !== undefined) {
      // Set here, because passing a fraction to a function may allocate it.
      slow.at = now
      slow.method = endpoint.method
      slow.route = endpoint.route
      slow.status = status
      slow.outcome = 'completed'
      slow.ms = us / 1_000
      slow.stallMs = 0
      slow.traceparent = readTraceparent(traceparent)
      if (slow.traceparent !== undefined) this.#setExemplar(endpoint, us, now, slow.traceparent)
    }
    const stalls = this.#stalls
    if (stalls !== undefined) {
      if (startedAt === stalls.running) endpoint.recordHold(stalls.endRunning())
      if (startedAt <= stalls.newest) this.#chargeStalls(stalls, endpoint, startedAt, us, slow)
    }
    if (slow !== undefined) this.#emitSlow(slow)
    if (this.#events.hears('request')) {
      this.#events.emit('request', { method: endpoint.method, route: endpoint.route, status, durationMs: us / 1_000 })
    }
  }

  recordTiming(name: string, durationMs: number): void {
    if (typeof durationMs !== 'number')
      throw new TypeError(`Expected \`durationMs\` to be a number, got ${describeValue(durationMs)}`)
    if (isClamped(durationMs)) this.#clamped++
    const us = toMicroseconds(durationMs)
    this.timings.record(name, us, this.#clock())
    if (this.#events.hears('timing')) this.#events.emit('timing', { name, durationMs: us / 1_000 })
  }

  /** Sets the route of a started request; `null` removes the request from the statistics. */
  setRoute(request: object, label: string | null): void {
    expectObject(request, 'request')
    if (label === null) this.open.exclude(request)
    else expectText(label, 'label')
    this.#routes.set(request, label)
  }

  routeOf(request: object): string | null | undefined {
    return this.#routes.get(request)
  }

  /** The endpoint, if it has recorded a request. */
  find(method: string, route: string): Endpoint | undefined {
    return route === overflowRoute ? this.endpoints.overflowEndpoint : this.endpoints.find(method, cutName(route))
  }

  /** Number of requests that have started and not ended. */
  get inFlight(): number {
    return this.open.size
  }

  /** The endpoint's numbers at `now`. */
  readEndpoint(endpoint: Endpoint, now: number): EndpointReading {
    return readEndpoint(endpoint, now, this.#settings, this.#countUnanswered(now).counts.get(endpoint))
  }

  /** The slow requests: those under way, the oldest first, then those that have ended, the latest first. */
  listSlow(now: number): SlowRequest[] {
    const { wall, slowUs, keepSlow } = this.#settings
    const open: SlowRequest[] = []
    this.open.forEachBefore(now - slowUs / 1_000, (startedAt, request) => {
      if (request === undefined || request.isLongLived || request.route === null) return
      const { method, route } = request
      const ms = now - startedAt
      open.push({ at: wall.isoOf(now), method, route, status: 0, outcome: 'unanswered', ms, stallMs: 0, traceId: null })
    })
    open.sort((a, b) => b.ms - a.ms)
    return [...open, ...this.slowRequests.list(wall)].slice(0, keepSlow)
  }

  read(now: number): Omit<Reading, 'caches'> {
    const { wall, slicing } = this.#settings
    const { counts, oldestMs } = this.#countUnanswered(now)
    // Advance the windows before the history is read, so that it has all their slices.
    for (const { window } of this.endpoints.all()) window.advance(now)
    return {
      endpoints: this.endpoints
        .all()
        .map((endpoint) => readEndpoint(endpoint, now, this.#settings, counts.get(endpoint))),
      timings: this.timings.read(now),
      inFlight: this.inFlight,
      oldestMs,
      coveredMs: this.coveredMs(now),
      history: this.history.past(now),
      historyEndMs: wall.at(sliceStart(now, slicing)),
      overflow: this.endpoints.overflowCount,
      clamped: this.#clamped,
    }
  }

  /** The slices of the window, the current one too once it is half over. */
  readHistory(now: number): HistorySlice[] {
    const windows = this.endpoints.all().map(({ window }): WindowReading => {
      window.advance(now)
      return { addTo: (tally) => window.readCurrentInto(tally, now) }
    })
    const current = this.history.current(now, windows)
    return [...this.history.past(now), ...(current === undefined ? [] : [current])]
  }

  /** Removes old slices from the windows. Yields after each endpoint, for `runInSlices`. */
  *advanceWindows(): Generator<void, void> {
    for (const { window } of this.endpoints.all()) {
      window.advance(this.#clock())
      yield
    }
  }

  /** The time that the windows cover; at least a second, so that one request after a millisecond is not a rate of 1,000/s. */
  coveredMs(now: number): number {
    return Math.max(1_000, now - Math.max(this.countingSince, windowStart(now, this.#settings.slicing)))
  }

  get memoryBytes(): number {
    return this.endpoints.all().reduce((bytes, { window }) => bytes + window.memoryBytes, this.timings.memoryBytes)
  }

  /** Numbers of requests that did not complete since the start, by endpoint and outcome. */
  *otherOutcomes(): Generator<OtherOutcome> {
    for (const { method, route, totals } of this.endpoints.all()) {
      for (const outcome of ['aborted', 'stream', 'upgrade', 'shed'] as const) {
        if (totals[outcome] > 0) yield { method, route, outcome, count: totals[outcome] }
      }
    }
  }

  reset(): void {
    this.endpoints.clear()
    this.timings.clear()
    this.slowRequests.clear()
    this.history.clear()
    this.#clamped = 0
    this.countingSince = this.#clock()
  }

  close(): void {
    this.#stalls?.close()
    this.#stalls = undefined
  }

  /** Number of requests under way that are slow already, and the age of the oldest. */
  unanswered(now: number): { readonly unanswered: number; readonly oldestMs: number | null } {
    const { counts, oldestMs } = this.#countUnanswered(now)
    let unanswered = 0
    for (const { tolerating, frustrated } of counts.values()) unanswered += tolerating + frustrated
    return { unanswered, oldestMs }
  }

  /** Requests under way that are slow already, by endpoint. An endpoint that has never answered is added. */
  #countUnanswered(now: number): { counts: Map<Endpoint, UnansweredCounts>; oldestMs: number | null } {
    const counts = new Map<Endpoint, UnansweredCounts>()
    const slowMs = this.#settings.slowUs / 1_000
    let oldestMs: number | null = null
    this.open.forEachBefore(Infinity, (startedAt, request) => {
      const ageMs = now - startedAt
      const isCandidate = ageMs > (oldestMs ?? -1) || ageMs > slowMs
      if (!isCandidate || request?.isLongLived || request?.route === null) return
      oldestMs = Math.max(oldestMs ?? 0, ageMs)
      if (request === undefined || ageMs <= slowMs) return
      const endpoint = this.endpoints.ensure(request.method, request.route, now)
      const count = counts.get(endpoint) ?? { tolerating: 0, frustrated: 0 }
      counts.set(endpoint, count)
      if (ageMs > slowMs * 4) count.frustrated++
      else count.tolerating++
    })
    return { counts, oldestMs }
  }

  /** A 5xx response frustrates the client, however fast it came. */
  #recordFailure(endpoint: Endpoint, us: number): void {
    const index = this.#settings.layout.indexOf(us)
    if (index <= this.#satisfiedIndex) endpoint.count(counterOffset.failedSatisfied)
    else if (index <= this.#toleratingIndex) endpoint.count(counterOffset.failedTolerating)
  }

  /** A client that waited and gave up: the request counts as slow, however soon the answer would have come. */
  #recordLateAbort(
    endpoint: Endpoint,
    status: number,
    startedAt: number,
    now: number,
    traceparent: string | (() => string | undefined) | undefined,
  ): void {
    endpoint.count(counterOffset.abortedLate)
    const { method, route } = endpoint
    const slow = Object.assign(this.slowRequests.nextEntry(), {
      at: now,
      method,
      route,
      status,
      outcome: 'aborted',
      ms: now - startedAt,
      stallMs: 0,
      traceparent: readTraceparent(traceparent),
    } satisfies SlowEntry)
    this.#emitSlow(slow)
  }

  #setExemplar(endpoint: Endpoint, us: number, now: number, traceparent: string): void {
    const traceId = traceIdOf(traceparent)
    if (traceId !== null) endpoint.setExemplar({ traceId, us, at: this.#settings.wall.at(now) })
  }

  #emitSlow(slow: SlowEntry): void {
    if (this.#events.hears('slow')) this.#events.emit('slow', toSlowRequest(slow, this.#settings.wall))
  }

  #chargeStalls(
    stalls: StallTracker,
    endpoint: Endpoint,
    startedAt: number,
    us: number,
    slow: SlowEntry | undefined,
  ): void {
    const note = stalls.take(startedAt)
    if (note < 0) return
    endpoint.recordHold(stalls.holdOf(note))
    const { layout } = this.#settings
    // Take the correction of this slice now: when the wait is known, the window may be at its next slice.
    const { correction } = endpoint.window
    const at = slow?.at
    stalls.onWait(note, (waitedMs) => {
      const correctedUs = toMicroseconds(us / 1_000 + waitedMs)
      correction.move(layout.indexOf(us), layout.indexOf(correctedUs), correctedUs)
      // By then, a later request may have the entry.
      if (slow !== undefined && slow.at === at) slow.stallMs = waitedMs
    })
  }
}
