import type { AdmissionStats } from './admission/admission.ts'
import type { ActiveAlert, AlertEvent } from './alerts/alert.ts'
import type { CheckResult } from './health/health-report.ts'
import type { Breakdown } from './traffic/breakdown.ts'

export type { ActiveAlert, AlertCause, AlertEvent, AlertId } from './alerts/alert.ts'
export type { Breakdown, BreakdownPart } from './traffic/breakdown.ts'
export type { OtherOutcome, Outcome } from './traffic/endpoint.ts'

/**
 * The documents and events of the monitor. Keys are camelCase here; the HTTP handlers write them in snake_case, so `p95Ci`
 * becomes `p95_ci`. The keys of `timings`, `cache`, `status` and `checks` are names, and `additions` is the user's own data at any
 * depth: they are not renamed.
 */

/** Selects and sorts the endpoints of a document. */
export interface StatsQuery {
  /** Sorts by this value, the largest first; `errors` counts 5xx responses. @defaultValue `'total'` */
  readonly sort?: 'p95' | 'count' | 'total' | 'errors' | undefined
  /** The maximum number of endpoints. @defaultValue 100 */
  readonly limit?: number | undefined
  /** Only endpoints with this route pattern. */
  readonly route?: string | undefined
  /** Only endpoints with this method. */
  readonly method?: string | undefined
  /** Whether the document has its `history`. @defaultValue false */
  readonly history?: boolean | undefined
}

/** Latencies in the window, in milliseconds; `null` when the window is empty. */
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

/** Estimated latencies as clients saw them: measured latency plus the time that requests waited for a stalled event loop. */
export interface CorrectedMs {
  readonly p50: number | null
  readonly p95: number | null
  readonly p99: number | null
  /** Number of requests that waited. */
  readonly affected: number
}

/** The fields that requests and endpoints have in common. All but `total` cover the window. */
interface Traffic {
  /** Number of requests of any outcome since the start or the last `reset()`. */
  readonly total: number
  /** Number of completed requests. */
  readonly count: number
  /** Completed requests per second. */
  readonly perSecond: number
  readonly aborted: number
  /**
   * Number of requests under way now for longer than `slow.threshold`, without event streams and upgrades.
   */
  readonly unanswered: number
  readonly streams: number
  readonly upgrades: number
  /** Number of requests that `shedLoad` turned away. */
  readonly shed: number
  /** Share of completed requests with a 5xx status, 0..1. */
  readonly errorRate: number | null
  /**
   * (satisfied + tolerating / 2) / all, with the `slow` threshold as T (apdex.org, technical specification 1.1). 5xx
   * responses, clients that gave up after 100 ms or more, and requests under way for longer than 4 T count as frustrated.
   */
  readonly apdex: number | null
  readonly latencyMs: LatencyMs
  /** `null` when `stallCorrection` is off. */
  readonly correctedMs: CorrectedMs | null
}

/** All requests together. */
export interface RequestStats extends Traffic {
  /** Number of requests that have started and not ended. */
  readonly inFlight: number
  /** Age of the oldest request under way, without event streams and upgrades; `null` without one. */
  readonly oldestMs: number | null
  /** Numbers of completed requests by class of status: `2xx`, `4xx` and so on. */
  readonly status: Readonly<Record<string, number>>
}

/** One method and route pattern. */
export interface EndpointStats extends Traffic {
  readonly method: string
  readonly route: string
  /** Numbers of completed requests by status: `200`, `404` and so on. */
  readonly status: Readonly<Record<string, number>>
  /** Milliseconds that this endpoint held the event loop, in holds of 1 ms and more. */
  readonly loopMs: number
  /** Where the time went; `null` while requests have no scope, because no feature needs scopes. */
  readonly breakdown: Breakdown | null
  /** When the last request of the endpoint ended, ISO 8601. */
  readonly lastSeen: string
}

/** Durations recorded with `recordTiming` or `time`. */
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
  /** State of the cache's store: `off`, `up`, `degraded`, `down`. */
  readonly state: string
}

/** The section that `addSource('database', …)` fills. The database feature defines the types of the elements. */
export interface DatabaseSection {
  readonly queries: readonly unknown[]
  readonly slow: readonly unknown[]
  readonly nPlusOne: readonly unknown[]
  /** Numbers of queries that were ended because nobody waited for them any more. */
  readonly abandoned?: { readonly cancelled: number; readonly dequeued: number; readonly refused: number }
  /** What `autoBatch` has joined. */
  readonly autoBatch?: { readonly queries: number; readonly statements: number; readonly shapes: readonly unknown[] }
}

/** Disk space of one file system. */
export interface DiskUsage {
  readonly path: string
  /** Space in use as `df` counts it: used / (used + available to this process). */
  readonly percent: number
  readonly freeBytes: number
  readonly totalBytes: number
}

/** Another process, sampled through `pidusage`. */
export interface ProcessUsage {
  readonly pid: number
  /** Percent of one core; `null` in the first sample. */
  readonly cpuPercent: number | null
  readonly memoryBytes: number
}

/** Where the memory limit comes from. */
export type LimitSource = 'cgroup-v2' | 'cgroup-v1' | 'system'

/**
 * The process and the machine. A value is `null` where the platform does not give it. Values that compare two samples are
 * `null` until the second.
 */
export interface SystemStats {
  /** CPU usage, percent of all cores that this process may use (by quota and affinity). */
  readonly cpuPercent: number | null
  /** Working set, percent of the cgroup's limit; without a limit, resident memory, percent of the machine's memory. */
  readonly memoryPercent: number | null
  /** Space in use of the fullest file system. */
  readonly diskPercent: number | null
  readonly cpu: {
    /** Cores in use; 1 is one core at 100 %. */
    readonly cores: number | null
    readonly limitCores: number | null
    /** Percent of the quota's periods in which the process was throttled. */
    readonly throttledPercent: number | null
    readonly loadAverage: readonly [number, number, number] | null
  }
  readonly memory: {
    readonly workingSetBytes: number | null
    readonly limitBytes: number | null
    readonly limitSource: LimitSource
    readonly rssBytes: number | null
    readonly heapUsedBytes: number | null
    /** Percent of V8's `heap_size_limit`, at which the process crashes. */
    readonly heapPercent: number | null
  }
  readonly disk: readonly DiskUsage[]
  readonly eventLoop: {
    /** Share of the last sample interval in which the loop was busy, 0..1. */
    readonly utilization: number | null
    /** Delay of timers in the last sample interval. */
    readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number } | null
    /** Stalls of 50 ms and more in the window; `null` with `sampleInterval: false`. */
    readonly stalls: { readonly count: number; readonly totalMs: number; readonly longestMs: number } | null
  }
  /** Garbage collections in the window; `null` with `sampleInterval: false`. */
  readonly gc: { readonly count: number; readonly totalMs: number; readonly maxMs: number } | null
  readonly processes: readonly ProcessUsage[]
}

/**
 * A request that took longer than `slow.threshold`, is under way for longer, or was given up by its client after 100 ms or more.
 */
export interface SlowRequest {
  /** When the request ended, ISO 8601; the time of the document while it is under way. */
  readonly at: string
  readonly method: string
  readonly route: string
  /** 0 while it is under way, 499 when the client gave up. */
  readonly status: number
  readonly outcome: 'completed' | 'aborted' | 'unanswered'
  readonly ms: number
  /** Milliseconds that the request waited for a stalled event loop, in addition to `ms`. */
  readonly stallMs: number
  /** From the request's `traceparent` header (W3C Trace Context). */
  readonly traceId: string | null
}

/** A stall of the event loop. */
export interface StallEvent {
  readonly at: string
  readonly ms: number
}

/** A health check whose status changed. Only this event contains the error; no document does. */
export interface CheckEvent {
  readonly name: string
  readonly status: CheckResult['status']
  readonly error: unknown
}

/** Events of {@link PerformanceMonitor.on}. */
export interface MonitorEvents {
  /** An alert fired, still fires after `repeat`, or was resolved. */
  alert: AlertEvent
  /** A request took longer than `slow.threshold`. */
  slow: SlowRequest
  /** The event loop was stalled. */
  stall: StallEvent
  /** The status of a health check changed. */
  check: CheckEvent
}

/** One process of a fleet. */
export interface FleetMemberStats {
  readonly id: string
  readonly release: string | null
  /** Age of the member's latest publication. */
  readonly ageMs: number
  /** The member has not published for three intervals: the document excludes its numbers. */
  readonly stale: boolean
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly inFlight: number | null
}

/** The members of a fleet. */
export interface FleetStats {
  readonly instances: number
  readonly stale: number
  /** Number of publications that were invalid, or of another version, precision or window. */
  readonly rejected: number
  readonly members: readonly FleetMemberStats[]
}

/** One time slice of the window (a sixtieth) of all requests together. `null` where nothing was measured. */
export interface HistoryPoint {
  /** The start of the slice, ISO 8601. */
  readonly at: string
  /** Number of completed requests. */
  readonly count: number
  readonly perSecond: number
  /** Shares of completed requests with a 5xx and with a 4xx status, 0..1. */
  readonly errorRate: number | null
  readonly clientErrorRate: number | null
  readonly latencyMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null }
  readonly correctedP95Ms: number | null
  /**
   * The next four values are those of the last sample in the slice. In a fleet they are the sum, or the mean, of its
   * processes.
   */
  readonly inFlight: number | null
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly eventLoopUtilization: number | null
  /** The longest of the slice's samples. */
  readonly eventLoopDelayMs: { readonly p99: number; readonly max: number } | null
}

/** The document of `GET /performance/stats`. */
export interface StatsDocument {
  readonly schema: 'posthaste.performance/1'
  readonly scope: 'instance' | 'fleet'
  readonly service: string | null
  readonly release: string | null
  readonly instance: string
  readonly generatedAt: string
  readonly uptimeMs: number
  /** The time that all values but totals cover. */
  readonly windowMs: number
  /** How much of the window has passed since the start or the last `reset()`: rates are over this time. */
  readonly coveredMs: number
  readonly requests: RequestStats
  readonly endpoints: readonly EndpointStats[]
  readonly timings: Readonly<Record<string, TimingStats>>
  readonly cache: Readonly<Record<string, CacheRow>>
  /** `null` without `addSource('database', …)`. */
  readonly database: DatabaseSection | null
  /** The sections of all other sources, by name. */
  readonly additions: Readonly<Record<string, unknown>>
  readonly system: SystemStats
  readonly alerts: readonly ActiveAlert[]
  readonly slow: readonly SlowRequest[]
  /** `null` without `shedLoad`. */
  readonly admission: AdmissionStats | null
  readonly fleet: FleetStats | null
  /** The slices of the window, the oldest first; the last one may not be over yet. `null` unless the query asks for it. */
  readonly history: readonly HistoryPoint[] | null
  /** The size and cost of the monitor. */
  readonly self: {
    readonly endpoints: number
    /** Number of requests counted in `(overflow)`, because `maxEndpoints` was reached. */
    readonly overflow: number
    /** Number of durations outside 1 us .. 71.6 min, which were recorded as the nearer bound. */
    readonly clamped: number
    /** Estimated size of the histograms. */
    readonly memoryBytes: number
    /** How long making this document took. */
    readonly renderMs: number
  }
}
