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
  /** The next four are of the last sample in the slice; in a fleet, the sum of its processes, or their mean. */
  readonly inFlight: number | null
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly eventLoopUtilization: number | null
  /** The longest of the slice's samples. */
  readonly eventLoopDelayMs: { readonly p99: number; readonly max: number } | null
}
