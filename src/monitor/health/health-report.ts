/** The latest result of a health check. */
export interface CheckResult {
  /** `fail` when a critical check has failed, `warn` when another has. */
  readonly status: 'pass' | 'warn' | 'fail'
  readonly critical: boolean
  /** Why the status is not `pass`. Never an error's message. */
  readonly reason: 'failed' | 'timeout' | null
  /** When the latest run ended, ISO 8601. */
  readonly time: string | null
  /** How long the latest run took. */
  readonly durationMs: number | null
}

/** The document of `GET /health`. The response has status 503 for `fail`, else 200. */
export interface HealthReport {
  readonly status: 'pass' | 'warn' | 'fail'
  /** The reason passed to `drain()`, `not started` before `markStarted()`, `event loop stalled`, or `shedding`. */
  readonly reason: string | null
  readonly checks: Readonly<Record<string, CheckResult>>
}
