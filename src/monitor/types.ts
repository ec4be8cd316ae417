/**
 * The documents of the monitor. All are camelCase here; the HTTP handlers write snake_case. Maps whose keys are names, and
 * are therefore never renamed: `timings`, `cache`, `additions` (first level), `status`, `checks`, and the percentile keys
 * `p50`, `p75`, `p90`, `p95`, `p99`, `p99_9` (`p95Ci` becomes `p95_ci`). What an addition holds is renamed like the rest.
 */

/**
 * How a request ended. Only completed ones enter percentiles, statuses and rates; the others are counted on their own,
 * because a client that gave up, an event stream of an hour and a WebSocket say nothing about how fast we answer.
 */
export type Outcome = 'completed' | 'aborted' | 'stream' | 'upgrade'

/** What the monitor needs of a cache: its cumulative counters. Every `Cache` is one. */
export interface CacheLike {
  stats(): {
    readonly hits: number
    readonly misses: number
    readonly errors: number
    readonly hitRate: number
    readonly errorRate: number
    readonly store: { readonly state: string }
  }
}

/** Which endpoints a document lists, and in which order. */
export interface StatsQuery {
  /** The largest first; `errors` is the number of 5xx answers. @defaultValue `'total'` */
  readonly sort?: 'p95' | 'count' | 'total' | 'errors' | undefined
  /** At most that many endpoints. @defaultValue 100 */
  readonly limit?: number | undefined
  /** Only endpoints of this pattern. */
  readonly route?: string | undefined
  /** Only endpoints of this method. */
  readonly method?: string | undefined
}

/** Latencies of a sliding window in milliseconds. `null` when the window is empty, never 0. */
export interface LatencyMs {
  readonly avg: number | null
  readonly min: number | null
  readonly max: number | null
  readonly stdDev: number | null
  readonly p50: number | null
  readonly p75: number | null
  readonly p90: number | null
  readonly p95: number | null
  readonly p99: number | null
  readonly p99_9: number | null
  /** 95 % confidence interval of the P95, from order statistics: wide when there are few samples. */
  readonly p95Ci: readonly [low: number, high: number] | null
  /** 95 % confidence interval of the P99. */
  readonly p99Ci: readonly [low: number, high: number] | null
}

/** An estimate of what clients saw: each stall of the event loop is charged to the requests that waited for it. */
export interface CorrectedMs {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  /** Requests of the window whose corrected latency differs from the plain one. */
  readonly affected: number
}

/** What requests and endpoints have in common. All but `total` cover the window. */
interface Traffic {
  /** Requests since the start (or the last `reset()`), whatever their outcome. */
  readonly total: number
  /** Completed requests. */
  readonly count: number
  /** Completed requests a second. */
  readonly perSecond: number
  readonly aborted: number
  readonly streams: number
  readonly upgrades: number
  /** Share of completed requests that were answered with 5xx, 0..1. */
  readonly errorRate: number | null
  /** (satisfied + tolerating / 2) / count, with the `slow` threshold as T (apdex.org, technical specification 1.1). */
  readonly apdex: number | null
  readonly latencyMs: LatencyMs
  /** `null` when `stallCorrection` is off. */
  readonly correctedMs: CorrectedMs | null
}

/** All requests together. */
export interface RequestStats extends Traffic {
  /** Requests that have started and not ended. */
  readonly inFlight: number
  /** By class: `2xx`, `4xx` and so on. */
  readonly status: Readonly<Record<string, number>>
}

/** One method and route pattern. */
export interface EndpointStats extends Traffic {
  readonly method: string
  readonly route: string
  /** By code: `200`, `404` and so on. */
  readonly status: Readonly<Record<string, number>>
  /** Time this endpoint held the event loop without a pause (holds of 1 ms and more), in the window. */
  readonly loopMs: number
  /** When the last request of the endpoint ended, ISO 8601. */
  readonly lastSeen: string
}

/** Something else that was timed with `recordTiming` or `time`. */
export interface TimingStats {
  readonly count: number
  readonly latencyMs: LatencyMs
}

/** Counters of a cache within the window. Rates are `null` without requests. */
export interface CacheRow {
  readonly hits: number
  readonly misses: number
  readonly errors: number
  readonly hitRate: number | null
  readonly errorRate: number | null
  /** State of the store behind it: `off`, `up`, `degraded`, `down`. */
  readonly state: string
}

/** What the database layer reports through `addSource('database', …)`; the element types are its own. */
export interface DatabaseSection {
  readonly queries: readonly unknown[]
  readonly slow: readonly unknown[]
  readonly nPlusOne: readonly unknown[]
}

/** Disk space of one file system. */
export interface DiskUsage {
  readonly path: string
  /** As `df` counts it: used / (used + available to us). */
  readonly percent: number
  readonly freeBytes: number
  readonly totalBytes: number
}

/** Another process, sampled through `pidusage`. */
export interface ProcessUsage {
  readonly pid: number
  /** Of one core; `null` for the first sample. */
  readonly cpuPercent: number | null
  readonly memoryBytes: number
}

/** Where the memory limit comes from. */
export type LimitSource = 'cgroup-v2' | 'cgroup-v1' | 'system'

/** The process and the machine around it. Values are `null` until there are two samples to compare. */
export interface SystemStats {
  /** Of the processors this process may use (quota, affinity), not of one core. */
  readonly cpuPercent: number | null
  /** Working set of the cgroup of its limit; without a limit, resident memory of the machine's. */
  readonly memoryPercent: number | null
  /** Of the fullest file system watched. */
  readonly diskPercent: number | null
  readonly cpu: {
    /** Processors in use, 1 being one of them wholly. */
    readonly cores: number | null
    readonly limitCores: number
    /** Share of the quota's periods in which the process was held back. */
    readonly throttledPercent: number | null
    readonly loadAverage: readonly [number, number, number]
  }
  readonly memory: {
    readonly workingSetBytes: number
    readonly limitBytes: number
    readonly limitSource: LimitSource
    readonly rssBytes: number
    readonly heapUsedBytes: number
    /** Of V8's `heap_size_limit`, at which the process dies. */
    readonly heapPercent: number
  }
  readonly disk: readonly DiskUsage[]
  readonly eventLoop: {
    /** Share of the last sample interval the loop was busy, 0..1. */
    readonly utilization: number | null
    /** Delay of timers in the last sample interval. */
    readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
    /** Blocks of the loop of 50 ms and more, in the window. */
    readonly stalls: { readonly count: number; readonly totalMs: number; readonly longestMs: number }
  }
  /** Garbage collections of the window. */
  readonly gc: { readonly count: number; readonly totalMs: number; readonly maxMs: number }
  readonly processes: readonly ProcessUsage[]
}

/** The rules of the monitor. */
export type AlertId = 'response_time' | 'cpu' | 'memory' | 'cache_errors' | 'error_rate' | 'event_loop' | 'disk'

/** What probably lies behind an alert. Shares are 0..1. */
export interface AlertCause {
  /** Share of the window the event loop was blocked. */
  readonly stall: number
  /** Share of the window spent in garbage collection. */
  readonly gc: number
  /** Share of periods in which the CPU quota held the process back; `null` without a quota. */
  readonly throttled: number | null
  /** The endpoint that held the event loop longest, as in `POST /export`. */
  readonly topBlocker: string | null
}

/** An alert that is not `ok`. Resolved ones are listed for one window. */
export interface ActiveAlert {
  readonly id: AlertId
  readonly state: 'pending' | 'firing' | 'resolved'
  /** When it came into this state, ISO 8601. */
  readonly since: string
  /** In milliseconds or percent, as the threshold. For `response_time` the lower confidence bound of the P95. */
  readonly value: number
  readonly threshold: number
  /** The endpoint, cache or file system; `null` for the process. */
  readonly target: string | null
  /** How many samples the value rests on. */
  readonly samples: number
  readonly cause: AlertCause
}

/** Told when an alert fires, is still firing after `repeat`, and when it is resolved. */
export interface AlertEvent extends ActiveAlert {
  readonly state: 'firing' | 'resolved'
  /** Whether it said so before. */
  readonly repeated: boolean
}

/** A request over the `slow` threshold. */
export interface SlowRequest {
  /** When it ended, ISO 8601. */
  readonly at: string
  readonly method: string
  readonly route: string
  readonly status: number
  readonly ms: number
  /** How long it waited for a blocked event loop, on top of `ms`. */
  readonly stallMs: number
  /** From the request's `traceparent` (W3C Trace Context), where it had one. */
  readonly traceId: string | null
}

/** A block of the event loop. */
export interface StallEvent {
  readonly at: string
  readonly ms: number
}

/** A health check that changed its status. The error stays in the process: it is in no document. */
export interface CheckEvent {
  readonly name: string
  readonly status: CheckResult['status']
  readonly error: unknown
}

/** One process of a fleet. */
export interface FleetMemberStats {
  readonly id: string
  readonly release: string | null
  /** Age of its last publication. */
  readonly ageMs: number
  /** It has not published for three intervals; its numbers are left out. */
  readonly stale: boolean
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly inFlight: number | null
}

/** The processes behind a fleet's document. */
export interface FleetStats {
  readonly instances: number
  readonly stale: number
  /** Publications that were no valid document of ours. */
  readonly rejected: number
  readonly members: readonly FleetMemberStats[]
}

/** What the monitor knows: `GET /performance/stats`, schema `posthaste.performance/1`. */
export interface StatsDocument {
  readonly schema: 'posthaste.performance/1'
  readonly scope: 'instance' | 'fleet'
  readonly service: string | null
  readonly release: string | null
  readonly instance: string
  readonly generatedAt: string
  readonly uptimeMs: number
  /** What everything but totals covers. */
  readonly windowMs: number
  readonly requests: RequestStats
  readonly endpoints: readonly EndpointStats[]
  readonly timings: Readonly<Record<string, TimingStats>>
  readonly cache: Readonly<Record<string, CacheRow>>
  /** `null` unless the database layer reports. */
  readonly database: DatabaseSection | null
  /** What other sources report, by their name. */
  readonly additions: Readonly<Record<string, unknown>>
  readonly system: SystemStats
  readonly alerts: readonly ActiveAlert[]
  readonly slow: readonly SlowRequest[]
  readonly fleet: FleetStats | null
  /** What the monitor itself holds and costs. */
  readonly self: {
    readonly endpoints: number
    /** Requests that went to `(overflow)`, because `maxEndpoints` was reached. */
    readonly overflow: number
    /** Durations that were moved into 1 us .. 71.6 min. */
    readonly clamped: number
    /** Of the histograms. */
    readonly memoryBytes: number
    /** What making this document took. */
    readonly renderMs: number
  }
}

/** One health check's last answer. */
export interface CheckResult {
  /** `fail` for a critical check, `warn` for one that is not. */
  readonly status: 'pass' | 'warn' | 'fail'
  readonly critical: boolean
  /** Why it is not `pass`. Error messages never show. */
  readonly reason: 'failed' | 'timeout' | null
  /** When it answered last, ISO 8601. */
  readonly time: string | null
  /** How long the last answer took. */
  readonly durationMs: number | null
}

/** `GET /health`: `fail` is 503, the others 200. */
export interface HealthReport {
  readonly status: 'pass' | 'warn' | 'fail'
  /** The reason given to `drain()`, `not started` before `markStarted()`, or that the event loop was stalled too long. */
  readonly reason: string | null
  readonly checks: Readonly<Record<string, CheckResult>>
}

/** Why requests should be turned away now. */
export interface OverloadReason {
  /** Median delay of the event loop (ms), working set of its limit (%), heap of its limit (%). */
  readonly kind: 'event_loop' | 'memory' | 'heap'
  readonly value: number
  readonly limit: number
}
