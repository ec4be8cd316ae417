import { expectFunction, expectOneOf, expectText } from '../shared/arguments.ts'
import { runAtOnce, runInSlices } from '../shared/time/slices.ts'
import { startInterval, type Timer } from '../shared/time/timers.ts'
import type { Warning } from '../shared/warnings.ts'
import type { AdmissionSource, AdmissionStats } from './admission/admission.ts'
import type { CacheCounters } from './cache-watch.ts'
import type { PrometheusOptions } from './exposition/prometheus-options.ts'
import type { HealthKind, HealthWait } from './health/health.ts'
import type { CheckFunction, CheckOptions } from './health/health-check.ts'
import type { HealthReport } from './health/health-report.ts'
import { type MonitorOptions, type MonitorSettings, resolveOptions } from './options.ts'
import type { Recorder } from './recorder.ts'
import type { CompletedRequest, RecordedTiming } from './recorder-events.ts'
import { createServices, type MonitorServices } from './services.ts'
import { findOverload, type GcPause, type OverloadReason } from './system/sampler.ts'
import type { RequestWaits } from './traffic/breakdown.ts'
import type { OpenRequest } from './traffic/open-requests.ts'
import type {
  ActiveAlert,
  DatabaseSection,
  EndpointStats,
  MonitorEvents,
  OtherOutcome,
  Outcome,
  StatsDocument,
  StatsQuery,
  SystemStats,
} from './types.ts'

/**
 * Measures a server: latency percentiles of each route pattern over a sliding window, errors, event loop stalls and the
 * endpoints that cause them, CPU and memory as shares of what the process may use, caches, and health.
 *
 * @example
 * ```ts
 * const monitor = new PerformanceMonitor({ service: 'crm' })
 * app.use(monitorRequests(monitor))
 * app.use(performanceRoutes(monitor))
 * ```
 */
export class PerformanceMonitor {
  readonly #settings: MonitorSettings
  readonly #services: MonitorServices
  /** A field of its own, because every request needs it. */
  readonly #recorder: Recorder
  readonly #timer: Timer | undefined

  /** @throws TypeError or RangeError when an option is invalid */
  constructor(options: MonitorOptions = {}) {
    const settings = resolveOptions(options)
    this.#settings = settings
    this.#services = createServices(settings)
    this.#recorder = this.#services.recorder
    if (settings.sampleMs !== false) {
      this.#services.system.watch()
      this.#timer = startInterval(() => void this.sample(), settings.sampleMs)
    }
  }

  /**
   * Starts a request and returns its start stamp, for {@link record}. The request counts as in flight until it is recorded. The
   * stamps also reveal which requests waited for a blocked event loop, so call it for each request, before anything else.
   *
   * @param request - describes the request while it is under way, so that one that is never answered is seen too
   */
  start(request?: OpenRequest): number {
    return this.#recorder.start(request)
  }

  /** Whether the option `ignore` excludes requests of this method and path; adapters ask before they start a request. */
  ignores(method: string, path: string): boolean {
    return this.#settings.ignore(method, path)
  }

  /**
   * Records a request that has ended. Never throws. Allocates nothing once the endpoint has recorded a request.
   *
   * @param method - the HTTP method
   * @param route - the pattern, as in `/users/:id`; never a URL, or each URL becomes an endpoint; `null` for a request
   *   that `setRoute` removed
   * @param status - the status of the response
   * @param startedAt - the stamp that {@link start} returned
   * @param outcome - how it ended; only completed requests enter the percentiles
   * @param traceparent - the request's header of that name, for the list of slow requests; a function is called for
   *   slow requests only
   * @param waits - where its time went, for `EndpointStats.breakdown`
   */
  record(
    method: string,
    route: string | null,
    status: number,
    startedAt: number,
    outcome: Outcome = 'completed',
    traceparent?: string | (() => string | undefined) | undefined,
    waits?: RequestWaits | undefined,
  ): void {
    this.#recorder.record(method, route, status, startedAt, outcome, traceparent, waits)
  }

  /**
   * Calls the listener with each completed request. It runs inside {@link record}, so each request pays for its time.
   *
   * @returns a function that removes it
   */
  onRequest(listener: (request: CompletedRequest) => void): () => void {
    return this.#services.events.on('request', listener)
  }

  /** Calls the listener with each duration of `recordTiming` and `time`; returns a function that removes it. */
  onTiming(listener: (timing: RecordedTiming) => void): () => void {
    return this.#services.events.on('timing', listener)
  }

  /** Calls the listener with each garbage collection; returns a function that removes it. */
  onGc(listener: (pause: GcPause) => void): () => void {
    return this.#services.events.on('gc', listener)
  }

  /** Numbers of requests that did not complete since the start, by endpoint and outcome. */
  *otherOutcomes(): Generator<OtherOutcome> {
    yield* this.#recorder.otherOutcomes()
  }

  /** Records the duration of something other than a request. `NaN` counts as 0. */
  recordTiming(name: string, durationMs: number): void {
    this.#recorder.recordTiming(name, durationMs)
  }

  /** Runs the function and records its duration, also when it fails. Returns its result or throws its error. */
  async time<Value>(name: string, fn: () => Value | PromiseLike<Value>): Promise<Value> {
    expectText(name, 'name')
    expectFunction(fn, 'fn')
    const startedAt = this.#settings.clock()
    try {
      return await fn()
    } finally {
      this.recordTiming(name, this.#settings.clock() - startedAt)
    }
  }

  /** Sets the route of a started request, instead of the adapter's; `null` removes the request from the statistics. */
  setRoute(request: object, label: string | null): void {
    this.#recorder.setRoute(request, label)
  }

  /** The route that {@link setRoute} set; `undefined` when it was not called for this request. */
  routeOf(request: object): string | null | undefined {
    return this.#recorder.routeOf(request)
  }

  /**
   * Adds a section to the documents: `database` fills the section of that name, any other name appears under `additions`.
   * `read` is called for each document. When it throws, the section is left out.
   *
   * @returns a function that removes the section
   */
  addSource<Name extends string>(
    name: Name,
    read: () => Name extends 'database' ? DatabaseSection : unknown,
  ): () => void {
    return this.#services.documents.addSource(name, read)
  }

  /** The numbers of this process in the window. */
  snapshot(query: StatsQuery = {}): StatsDocument {
    this.#services.alerts.judge()
    return runAtOnce(this.#services.documents.ofProcess(query))
  }

  /**
   * The same document as {@link snapshot}, made in slices of a few milliseconds between which the event loop turns. Use it to
   * answer requests, because hundreds of endpoints take long. Requests that end meanwhile may be in some of its numbers only.
   */
  async snapshotInTurns(query: StatsQuery = {}): Promise<StatsDocument> {
    await this.#services.alerts.judgeInSlices()
    return runInSlices(this.#services.documents.ofProcess(query))
  }

  /**
   * The numbers of all processes of the fleet: this one as it is now, the others as they published last. Percentiles are those
   * of all requests, because the histograms are added up. The sections system, alerts, database and slow requests are those of
   * this process. When the fleet cannot be reached, the document contains this process alone.
   */
  async fleetSnapshot(query: StatsQuery = {}): Promise<StatsDocument> {
    const { reading, fleet } = await this.#services.fleet.read()
    return runInSlices(this.#services.documents.ofFleet(reading, query, fleet))
  }

  /** One endpoint; `undefined` when it has recorded no request. */
  endpoint(method: string, route: string): EndpointStats | undefined {
    return this.#services.documents.endpoint(method, route)
  }

  /**
   * The metrics for Prometheus, in pieces: text format 0.0.4, or OpenMetrics 1.0. Counters and histograms run since the
   * start. No piece at all means that the fleet cannot be read.
   *
   * @throws TypeError when `naming` or `scope` is unknown
   */
  prometheus(options: PrometheusOptions = {}): AsyncIterable<string> {
    return this.#services.exposeMetrics(options)
  }

  /**
   * The latencies of an endpoint in the window, in microseconds, for HdrHistogram's own tools: version 2, compressed, base64.
   * The histogram is empty when the endpoint has recorded no request. Loads `hdr-histogram-js` when it is first called.
   */
  toHdr(method: string, route: string): Promise<string> {
    return this.#services.documents.toHdr(method, route)
  }

  /** Upper bounds of the histogram's buckets, in seconds; see the option `buckets`. */
  get bucketBounds(): number[] {
    return this.#settings.boundsUs.map((us) => us / 1_000_000)
  }

  /** Number of requests that have started and not ended. */
  get inFlight(): number {
    return this.#recorder.inFlight
  }

  /** The process and the machine, as sampled last. */
  system(): SystemStats {
    this.#services.system.sampleIfDue()
    return this.#services.system.stats(this.#settings.clock())
  }

  /** Counters of the caches in the option `caches`, since each cache's start. */
  cacheCounters(): ReadonlyArray<readonly [name: string, counters: CacheCounters]> {
    return this.#services.caches.lifetime()
  }

  /** Judges the alerts now and returns those that are not `ok`. */
  alerts(): ActiveAlert[] {
    this.#services.alerts.judge()
    return this.#services.alerts.list()
  }

  /**
   * Samples the system and judges the alerts, as happens every `sampleInterval`. The promise also waits for the samples of
   * disks and other processes. It never rejects.
   */
  async sample(): Promise<void> {
    this.#settings.wall.compare()
    try {
      const sampled = this.#services.system.sample()
      await this.#services.alerts.judgeInSlices()
      await sampled
    } catch (error) {
      this.#services.warn('MONITOR_SAMPLE', 'Sampling failed', error)
    }
  }

  /** Why the server should turn requests away now, by the last sample; `undefined` when it should not. */
  overload(): OverloadReason | undefined {
    const { admission, system } = this.#services
    return findOverload(system.stats(this.#settings.clock()), this.#settings.overload, admission.shedRatio)
  }

  /** What `shedLoad` does now. Without it, nothing is limited or turned away. */
  admission(): AdmissionStats {
    return this.#services.admission.read()
  }

  /** Adds a guard to {@link admission} and the documents, as `shedLoad` does; returns a function that removes it. */
  addAdmission(source: AdmissionSource): () => void {
    return this.#services.admission.add(source)
  }

  /** The option `health.details`. */
  get healthDetails(): MonitorSettings['healthDetails'] {
    return this.#settings.healthDetails
  }

  /** Passes a warning to `onWarn`, once per code. For the HTTP routes of the monitor. */
  warn(warning: Warning): void {
    this.#settings.warn(warning)
  }

  /**
   * Adds a health check.
   *
   * @throws TypeError or RangeError when the name is taken or an option is invalid
   */
  check(name: string, fn: CheckFunction, options: CheckOptions = {}): this {
    this.#services.health.add(name, fn, options)
    return this
  }

  /**
   * Answers a probe. `live`: the process works; runs no checks. `ready`: the critical checks pass and the instance does not
   * drain. `startup`: `markStarted()` was called. `all`: the report of `GET /health`.
   *
   * @throws TypeError when `maxWait` is not a duration
   */
  async health(kind: HealthKind = 'all', options: HealthWait = {}): Promise<HealthReport> {
    return this.#services.health.report(kind, this.#services.system.lastStallMs, options)
  }

  /** Whether {@link drain} was called. The adapters then answer with `Connection: close`. */
  get isDraining(): boolean {
    return this.#services.health.isDraining
  }

  /**
   * Makes the instance unready, so that it gets no new requests while those in flight end. From now on, each response of HTTP/1
   * closes its connection, so that clients which keep connections open go elsewhere.
   */
  drain(reason = 'draining'): void {
    this.#services.health.drain(reason)
  }

  /** Makes the startup probe pass. */
  markStarted(): void {
    this.#services.health.markStarted()
  }

  /** Adds a listener and returns a function that removes it. */
  on<Name extends keyof MonitorEvents>(name: Name, listener: (event: MonitorEvents[Name]) => void): () => void {
    expectOneOf<string>(name, 'name', ['alert', 'slow', 'stall', 'check'])
    return this.#services.events.on(name, listener)
  }

  /** Deletes everything measured so far. Checks, listeners and sources stay. */
  reset(): void {
    this.#recorder.reset()
    this.#services.caches.clear(this.#settings.clock())
    this.#services.system.clear()
    this.#services.alerts.clear()
  }

  /** Stops all timers and observers, and leaves the fleet. Recording afterwards is harmless. */
  async close(): Promise<void> {
    this.#timer?.cancel()
    this.#recorder.close()
    this.#services.system.close()
    this.#services.health.close()
    await this.#services.fleet.close()
    this.#services.events.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
