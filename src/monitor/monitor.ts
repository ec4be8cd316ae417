import { expectOneOf } from '../shared/assertions.ts'
import { runAtOnce, runInTurns } from '../shared/turns.ts'
import type { Warning } from '../shared/warnings.ts'
import { Alerts } from './alerts.ts'
import { type CacheCounters, CacheWatch } from './caches.ts'
import { type DocumentContext, documentOf, trafficContext } from './document.ts'
import { Emitter } from './emitter.ts'
import { endpointWidth } from './endpoint.ts'
import { type Exposed, families, type Naming } from './exposition/families.ts'
import { encodeHdr } from './exposition/hdr.ts'
import { exposeText } from './exposition/text.ts'
import type { Publication } from './fleet/codec.ts'
import { Fleet } from './fleet/fleet.ts'
import { type CheckFunction, type CheckOptions, Health, type HealthKind } from './health.ts'
import { causeOf, type Observed, observe } from './observations.ts'
import { type MonitorOptions, type MonitorSettings, resolveOptions } from './options.ts'
import type { Reading } from './reading.ts'
import { type CompletedRequest, Recorder, type RecorderEvents } from './recorder.ts'
import { SystemSampler } from './system/sampler.ts'
import { Tally } from './tally.ts'
import { describeEndpoint, readEndpoint } from './traffic.ts'
import type {
  ActiveAlert,
  AlertEvent,
  CheckEvent,
  DatabaseSection,
  EndpointStats,
  HealthReport,
  Outcome,
  OverloadReason,
  SlowRequest,
  StallEvent,
  StatsDocument,
  StatsQuery,
  SystemStats,
} from './types.ts'

/** What a monitor tells its listeners. */
export interface MonitorEvents {
  /** An alert fired, is still firing, or was resolved. */
  alert: AlertEvent
  /** A request took longer than `slow.threshold`. */
  slow: SlowRequest
  /** The event loop was blocked. */
  stall: StallEvent
  /** A health check came to another status. */
  check: CheckEvent
}

/** How metrics are written. */
export interface PrometheusOptions {
  /** OpenMetrics 1.0 instead of text format 0.0.4. @defaultValue false */
  readonly openMetrics?: boolean | undefined
  /**
   * `otel`: `http_server_request_duration_seconds{http_request_method,http_route,http_response_status_code}`; `classic`:
   * `http_request_duration_seconds{method,route,status_code}`, for existing dashboards. @defaultValue `'otel'`
   */
  readonly naming?: Naming | undefined
}

/**
 * Measures what a server does: latencies of each route pattern as real percentiles over a sliding window, errors, event loop
 * stalls and who causes them, processor and memory against what the process may use, caches, and health.
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
  readonly #clock: MonitorSettings['clock']
  readonly #recorder: Recorder
  readonly #caches: CacheWatch
  readonly #system: SystemSampler
  readonly #alerts: Alerts
  readonly #fleet: Fleet
  readonly #health: Health
  readonly #events: Emitter<MonitorEvents & RecorderEvents>
  readonly #sources = new Map<string, () => unknown>()
  readonly #begunAt: number
  #timer: NodeJS.Timeout | undefined

  /** @throws TypeError or RangeError when an option is wrong */
  constructor(options: MonitorOptions = {}) {
    const settings = resolveOptions(options)
    const { clock, layout, slicing, maxEndpoints } = settings
    this.#settings = settings
    this.#clock = clock
    this.#begunAt = clock()
    this.#caches = new CacheWatch(settings.caches, slicing, this.#begunAt)
    this.#events = new Emitter((error) => this.#warnOf('MONITOR_LISTENER', 'A listener threw', error))
    this.#recorder = new Recorder(settings, this.#events)
    this.#health = new Health(settings.checkIntervalMs, clock, (event) => this.#events.emit('check', event))
    this.#system = new SystemSampler({
      readers: settings.readers,
      slicing,
      disk: settings.disk,
      processes: settings.processes,
      clock,
      onStall: (ms) => this.#events.emit('stall', { at: new Date(clock()).toISOString(), ms }),
    })
    this.#alerts = new Alerts(
      settings.rules,
      slicing.windowMs,
      () => causeOf(this.#observed(clock()), this.#recorder.coveredMs(clock())),
      (event) => this.#events.emit('alert', event),
    )
    this.#fleet = new Fleet({
      transport: settings.fleet,
      instance: settings.instance,
      layout,
      windowMs: slicing.windowMs,
      maxEndpoints,
      publication: () => this.#publication(),
      onError: (error) => this.#warnOf('MONITOR_FLEET', 'The fleet cannot be reached', error),
    })
    if (settings.sampleMs !== false) {
      this.#system.watch()
      this.#timer = setInterval(() => void this.sample(), settings.sampleMs).unref()
    }
  }

  /**
   * Begins a request and returns its start stamp, for {@link record}. Counts as in flight until it is recorded. The stamps
   * also tell which requests waited for a blocked event loop, so take one for each request, first thing.
   */
  start(): number {
    return this.#recorder.start()
  }

  /** Whether requests of this method and path are not to be counted; adapters ask before they start one. */
  ignores(method: string, path: string): boolean {
    return this.#settings.ignore(method, path)
  }

  /**
   * Ends a request. Never throws, and allocates nothing once the endpoint was seen.
   *
   * @param method - of the request
   * @param route - the pattern, `/users/:id`; never a URL, or each URL becomes an endpoint; `null` for a request
   *   that `setRoute` took out
   * @param status - of the answer
   * @param startedAt - what {@link start} returned
   * @param outcome - how it ended; only completed requests enter the percentiles
   * @param traceparent - the request's header of that name, for the list of slow requests; a function is asked only for those
   */
  record(
    method: string,
    route: string | null,
    status: number,
    startedAt: number,
    outcome: Outcome = 'completed',
    traceparent?: string | (() => string | undefined) | undefined,
  ): void {
    this.#recorder.record(method, route, status, startedAt, outcome, traceparent)
  }

  /**
   * Calls the listener with each completed request, as `otelMetrics` does. It is called in the hot path: what it costs, each
   * request costs.
   *
   * @returns a function that removes it
   */
  onRequest(listener: (request: CompletedRequest) => void): () => void {
    return this.#events.on('request', listener)
  }

  /** Puts in how long something other than a request took; not a number counts as 0. */
  recordTiming(name: string, durationMs: number): void {
    this.#recorder.recordTiming(name, durationMs)
  }

  /** Runs the function and records how long it took, whether it succeeded or not. Its result and errors pass through. */
  async time<Value>(name: string, fn: () => Value | PromiseLike<Value>): Promise<Value> {
    const startedAt = this.#clock()
    try {
      return await fn()
    } finally {
      this.recordTiming(name, this.#clock() - startedAt)
    }
  }

  /**
   * Names the route of a request that was started, over whatever the adapter would have found; `null` takes it out of the
   * statistics.
   */
  setRoute(request: object, label: string | null): void {
    this.#recorder.setRoute(request, label)
  }

  /** What {@link setRoute} said about a request. */
  routeOf(request: object): string | null | undefined {
    return this.#recorder.routeOf(request)
  }

  /**
   * Adds a section that another part of the program supplies: `database` fills the document's section of that name, any
   * other name appears under `additions`. A source that throws is left out of the document.
   *
   * @returns a function that takes the source away
   */
  addSource<Name extends string>(
    name: Name,
    read: () => Name extends 'database' ? DatabaseSection : unknown,
  ): () => void {
    this.#sources.set(name, read)
    return () => {
      if (this.#sources.get(name) === read) this.#sources.delete(name)
    }
  }

  /** What this process did in the window. */
  snapshot(query: StatsQuery = {}): StatsDocument {
    this.#judge()
    return runAtOnce(this.#document(query))
  }

  /**
   * The same document, made in pieces of a few milliseconds, between which the event loop goes on; requests that end meanwhile
   * may be in some of its numbers only. With hundreds of endpoints, this is what to answer requests with.
   */
  async snapshotInTurns(query: StatsQuery = {}): Promise<StatsDocument> {
    await this.#judgeInTurns()
    return runInTurns(this.#document(query))
  }

  /**
   * What all processes of the fleet did in their windows: this one as it is now, the others as they published last. Their
   * histograms are added up, so the percentiles are those of all requests. System, alerts, database and slow requests are
   * this process's. A fleet that cannot be reached costs the others' numbers, never an error.
   */
  async fleetSnapshot(query: StatsQuery = {}): Promise<StatsDocument> {
    const { reading, fleet } = await this.#fleet.read()
    const began = performance.now()
    return runInTurns(documentOf(reading, query, this.#settings, this.#documentContext(this.#clock(), began, fleet)))
  }

  /** One endpoint, if it was seen. */
  endpoint(method: string, route: string): EndpointStats | undefined {
    const now = this.#clock()
    const endpoint = this.#recorder.find(method, route)
    if (endpoint === undefined) return undefined
    return describeEndpoint(readEndpoint(endpoint, now), trafficContext(this.#settings, this.#recorder.coveredMs(now)))
  }

  /**
   * The metrics for Prometheus, in pieces: text format 0.0.4, or OpenMetrics 1.0. Counters and histograms run since the
   * start.
   *
   * @throws TypeError when `naming` is unknown
   */
  prometheus({ openMetrics = false, naming = 'otel' }: PrometheusOptions = {}): AsyncIterable<string> {
    expectOneOf(naming, 'naming', ['otel', 'classic'])
    return this.#expose(openMetrics, naming)
  }

  /**
   * The latencies of an endpoint in the window, in microseconds, for HdrHistogram's own tools: version 2, compressed,
   * base64. Empty when the endpoint was not seen.
   */
  toHdr(method: string, route: string): string {
    const { layout } = this.#settings
    const endpoint = this.#recorder.find(method, route)
    const tally = new Tally(endpointWidth(layout), layout)
    endpoint?.window.readInto(tally, this.#clock())
    return encodeHdr(tally, layout)
  }

  /** Requests that have started and not ended. */
  get inFlight(): number {
    return this.#recorder.inFlight
  }

  /** The process and the machine, as sampled last. */
  system(): SystemStats {
    if (this.#timer === undefined) this.#system.sampleIfOld()
    return this.#system.stats(this.#clock())
  }

  /** Counters of the watched caches since their start. */
  cacheCounters(): ReadonlyArray<readonly [name: string, counters: CacheCounters]> {
    return this.#caches.lifetime()
  }

  /** Alerts that are not `ok`, judged now. */
  alerts(): ActiveAlert[] {
    this.#judge()
    return this.#alerts.list()
  }

  /**
   * Takes a sample of the system and judges the alerts, as the timer does every `sampleInterval`. The promise is of the
   * slower parts, disk and other processes; it never rejects.
   */
  async sample(): Promise<void> {
    try {
      const slower = this.#system.sample()
      await this.#judgeInTurns()
      await slower
    } catch (error) {
      this.#warnOf('MONITOR_SAMPLE', 'Sampling failed', error)
    }
  }

  /** Why requests should be turned away now, by the last sample; `undefined` when they should not. */
  overload(): OverloadReason | undefined {
    const { overload: limits } = this.#settings
    const { eventLoop, memory, memoryPercent } = this.#system.stats(this.#clock())
    const signs = [
      { kind: 'event_loop' as const, value: eventLoop.delayMs?.p50 ?? 0, limit: limits.eventLoopMs },
      // Without a limit of our own, a full machine is not ours to answer for.
      {
        kind: 'memory' as const,
        value: memory.limitSource === 'system' ? 0 : (memoryPercent as number),
        limit: limits.memory,
      },
      { kind: 'heap' as const, value: memory.heapPercent, limit: limits.heap },
    ]
    return signs.find(({ value, limit }) => value > limit)
  }

  /** Who may see more of the health report than its status, as the option `health.details` says. */
  get healthDetails(): MonitorSettings['healthDetails'] {
    return this.#settings.healthDetails
  }

  /** Says something through `onWarn`, once per code. The routes of the monitor use it. */
  warn(warning: Warning): void {
    this.#settings.warn(warning)
  }

  /**
   * Adds a health check.
   *
   * @throws TypeError when the name is taken or an option is wrong
   */
  check(name: string, fn: CheckFunction, options: CheckOptions = {}): this {
    this.#health.add(name, fn, options)
    return this
  }

  /**
   * Answers a probe. `live`: the process works, no dependency is asked. `ready`: it can serve; the critical checks pass and
   * it is not draining. `startup`: `markStarted()` was called. `all` is what `GET /health` shows.
   */
  health(kind: HealthKind = 'all'): Promise<HealthReport> {
    return this.#health.report(kind, this.#system.lastStallMs)
  }

  /** Makes the instance unready, so that no new requests are sent to it, while those in flight end. */
  drain(reason = 'draining'): void {
    this.#health.drain(reason)
  }

  /** Makes the startup probe pass. */
  markStarted(): void {
    this.#health.markStarted()
  }

  /** Adds a listener and returns what removes it. */
  on<Name extends keyof MonitorEvents>(name: Name, listener: (event: MonitorEvents[Name]) => void): () => void {
    return this.#events.on(name, listener)
  }

  /** Forgets all that was measured; checks, listeners and sources stay. */
  reset(): void {
    this.#recorder.reset()
    this.#caches.clear(this.#clock())
    this.#system.clear()
    this.#alerts.clear()
  }

  /** Stops all timers and lets go of everything. Recording afterwards does no harm. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#recorder.close()
    this.#system.close()
    this.#health.close()
    await this.#fleet.close()
    this.#events.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async *#expose(openMetrics: boolean, naming: Naming): AsyncGenerator<string> {
    await this.#judgeInTurns()
    const { service, release, instance } = this.#settings
    const exposed: Exposed = {
      now: this.#clock(),
      service,
      release,
      instance,
      inFlight: this.#recorder.inFlight,
      endpoints: this.#recorder.endpoints.all(),
      timings: this.#recorder.timings,
      caches: this.#caches,
      system: this.#system,
      alerts: this.#alerts.list(),
    }
    yield* exposeText(families(exposed, naming), openMetrics)
  }

  #document(query: StatsQuery): ReturnType<typeof documentOf> {
    const began = performance.now()
    const now = this.#clock()
    return documentOf(this.#read(now), query, this.#settings, this.#documentContext(now, began, null))
  }

  #documentContext(now: number, began: number, fleet: StatsDocument['fleet']): DocumentContext {
    return {
      began,
      now,
      scope: fleet === null ? 'instance' : 'fleet',
      uptimeMs: now - this.#begunAt,
      ...this.#readSources(),
      system: this.#system.stats(now),
      alerts: this.#alerts.list(),
      slow: this.#recorder.slow.list(),
      fleet,
      memoryBytes: this.#recorder.memoryBytes,
    }
  }

  #publication(): Publication {
    const now = this.#clock()
    const { cpuPercent, memoryPercent } = this.#system.stats(now)
    const { release, slicing } = this.#settings
    return { release, cpuPercent, memoryPercent, windowMs: slicing.windowMs, reading: this.#read(now) }
  }

  #read(now: number): Reading {
    return { ...this.#recorder.read(now), caches: this.#caches.rows(now) }
  }

  /** To age the windows is most of the work after a time slice. */
  async #judgeInTurns(): Promise<void> {
    await runInTurns(this.#recorder.age())
    this.#judge()
  }

  #judge(): void {
    this.system()
    const now = this.#clock()
    this.#alerts.evaluate(now, observe(this.#alerts, this.#observed(now)))
  }

  #observed(now: number): Observed {
    return {
      now,
      layout: this.#settings.layout,
      endpoints: this.#recorder.endpoints.all(),
      caches: this.#caches.rows(now),
      system: this.#system.stats(now),
      systemSamples: this.#system.samples,
      longestStallMs: this.#system.longestStallMs(now),
    }
  }

  #readSources(): Pick<StatsDocument, 'database' | 'additions'> {
    const sections: Record<string, unknown> = {}
    for (const [name, read] of this.#sources) {
      try {
        sections[name] = read()
      } catch (error) {
        this.#warnOf('MONITOR_SOURCE', `The source '${name}' threw`, error)
      }
    }
    const { database = null, ...additions } = sections
    return { database: database as DatabaseSection | null, additions }
  }

  #warnOf(code: string, what: string, error: unknown): void {
    this.#settings.warn({ code, message: `${what}: ${error instanceof Error ? error.message : String(error)}` })
  }
}
