import { performance } from 'node:perf_hooks'
import { isClamped, longestUs, toMicroseconds } from '../shared/buckets.ts'
import { systemClock } from '../shared/clock.ts'
import type { Emitter } from './emitter.ts'
import type { Endpoint } from './endpoint.ts'
import { Endpoints, overflowRoute } from './endpoints.ts'
import type { MonitorSettings } from './options.ts'
import type { Reading } from './reading.ts'
import { describePlace, type Place, SlowRing } from './slow.ts'
import { type StallClocks, StallTracker } from './stalls.ts'
import { Timings } from './timings.ts'
import { readEndpoint } from './traffic.ts'
import type { Outcome, SlowRequest } from './types.ts'
import { windowStart } from './window.ts'

/** A request that ended as it should. */
export interface CompletedRequest {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly durationMs: number
}

/** What the recorder tells. */
export interface RecorderEvents {
  request: CompletedRequest
  slow: SlowRequest
}

/** The part of the monitor that requests pass through: everything here is paid for by each of them. */
export class Recorder {
  readonly endpoints: Endpoints
  readonly timings: Timings
  readonly slow: SlowRing
  inFlight = 0
  readonly #settings: MonitorSettings
  readonly #clock: MonitorSettings['clock']
  readonly #events: Pick<Emitter<RecorderEvents>, 'hears' | 'emit'>
  readonly #routes = new WeakMap<object, string | null>()
  #stalls: StallTracker | undefined
  #countingSince: number
  #clamped = 0

  constructor(settings: MonitorSettings, events: Pick<Emitter<RecorderEvents>, 'hears' | 'emit'>) {
    const { clock, layout, slicing, maxEndpoints, keepSlow, stallCorrection } = settings
    this.#settings = settings
    this.#clock = clock
    this.#events = events
    this.#countingSince = clock()
    this.endpoints = new Endpoints(layout, slicing, maxEndpoints)
    this.timings = new Timings(layout, slicing, maxEndpoints)
    this.slow = new SlowRing(keepSlow)
    if (stallCorrection) this.#stalls = new StallTracker(stallClocks(clock))
  }

  /** The stamp of a request that begins now. */
  start(): number {
    this.inFlight++
    return this.#stalls === undefined ? this.#clock() : this.#stalls.start()
  }

  /** Ends a request. */
  record(
    method: string,
    route: string | null,
    status: number,
    startedAt: number,
    outcome: Outcome,
    traceparent: string | (() => string | undefined) | undefined,
  ): void {
    const now = this.#clock()
    if (route === null) return
    if (this.inFlight > 0) this.inFlight--
    const endpoint = this.endpoints.find(method, route) ?? this.endpoints.add(method, route, now)
    if (now >= endpoint.window.end) endpoint.window.advance(now)
    endpoint.lastSeen = now
    if (outcome !== 'completed') {
      endpoint.end(outcome, now - startedAt)
      return
    }
    const us = toMicroseconds(now - startedAt)
    if ((us === 1 || us === longestUs) && isClamped(now - startedAt)) this.#clamped++
    endpoint.complete(us, status)
    const place = us > this.#settings.slowUs ? this.slow.next() : undefined
    if (place !== undefined) {
      // Written here, because numbers with fractions are allocated when they are handed on.
      place.at = now
      place.method = endpoint.method
      place.route = endpoint.route
      place.status = status
      place.ms = us / 1_000
      place.stallMs = 0
      place.traceparent = typeof traceparent === 'function' ? traceparent() : traceparent
    }
    const stalls = this.#stalls
    if (stalls !== undefined) {
      if (startedAt === stalls.running) endpoint.hold(stalls.endRunning())
      if (startedAt <= stalls.newest) this.#chargeStalls(stalls, endpoint, startedAt, us, place)
    }
    if (place !== undefined && this.#events.hears('slow')) this.#events.emit('slow', describePlace(place))
    if (this.#events.hears('request')) {
      this.#events.emit('request', { method: endpoint.method, route: endpoint.route, status, durationMs: us / 1_000 })
    }
  }

  /** Puts in the duration of something else. */
  recordTiming(name: string, durationMs: number): void {
    if (isClamped(durationMs)) this.#clamped++
    this.timings.record(name, toMicroseconds(durationMs), this.#clock())
  }

  /** Names the route of a request; `null` takes one that was started out of the statistics. */
  setRoute(request: object, label: string | null): void {
    if (label === null && this.inFlight > 0 && this.#routes.get(request) !== null) this.inFlight--
    this.#routes.set(request, label)
  }

  routeOf(request: object): string | null | undefined {
    return this.#routes.get(request)
  }

  /** The endpoint, if it was seen. */
  find(method: string, route: string): Endpoint | undefined {
    return route === overflowRoute ? this.endpoints.overflowing : this.endpoints.find(method, route)
  }

  /** All numbers as they are at `now`. */
  read(now: number): Omit<Reading, 'caches'> {
    return {
      endpoints: this.endpoints.all().map((endpoint) => readEndpoint(endpoint, now)),
      timings: this.timings.read(now),
      inFlight: this.inFlight,
      coveredMs: this.coveredMs(now),
      overflow: this.endpoints.overflow,
      clamped: this.#clamped,
    }
  }

  /** Takes what is too old out of the windows. May be interrupted after each of them. */
  *age(): Generator<void, void> {
    for (const { window } of this.endpoints.all()) {
      window.advance(this.#clock())
      yield
    }
  }

  /** Rates of the first second are those of a second: one request after a millisecond is not a thousand a second. */
  coveredMs(now: number): number {
    return Math.max(1_000, now - Math.max(this.#countingSince, windowStart(now, this.#settings.slicing)))
  }

  get memoryBytes(): number {
    return this.endpoints.all().reduce((bytes, { window }) => bytes + window.memoryBytes, this.timings.memoryBytes)
  }

  reset(): void {
    this.endpoints.clear()
    this.timings.clear()
    this.slow.clear()
    this.#clamped = 0
    this.#countingSince = this.#clock()
  }

  close(): void {
    this.#stalls?.close()
    this.#stalls = undefined
  }

  #chargeStalls(
    stalls: StallTracker,
    endpoint: Endpoint,
    startedAt: number,
    us: number,
    place: Place | undefined,
  ): void {
    const note = stalls.take(startedAt)
    if (note < 0) return
    endpoint.hold(stalls.holdOf(note))
    const { layout } = this.#settings
    // Taken now: what is known later still belongs to this slice.
    const { shift } = endpoint.window
    stalls.onWait(note, (waitedMs) => {
      const correctedUs = toMicroseconds(us / 1_000 + waitedMs)
      shift.move(layout.indexOf(us), layout.indexOf(correctedUs), correctedUs)
      if (place !== undefined) place.stallMs = waitedMs
    })
  }
}

const { nodeTiming } = performance

/** With a clock of the user's own, stamps are its, and stalls are still measured in real time. */
function stallClocks(clock: () => number): StallClocks {
  return {
    stamp: clock === systemClock ? undefined : clock,
    time: systemClock,
    // `eventLoopUtilization()` tells it too, for three times as much.
    idle: () => nodeTiming.idleTime,
    defer: setImmediate,
  }
}
