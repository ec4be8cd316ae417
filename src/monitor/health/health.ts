import { expectOneOf, expectOptions, expectText } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import { type CheckContext, type CheckFunction, type CheckOptions, HealthCheck } from './health-check.ts'
import type { HealthReport } from './health-report.ts'

/** Which probe a report answers. */
export type HealthKind = 'all' | 'live' | 'ready' | 'startup'

export interface HealthWait {
  /** How long to wait for checks that run; then their last results count. @defaultValue the timeouts of the checks */
  readonly maxWait?: Duration | undefined
}

/** What the checks and the probes need. */
export interface HealthContext extends CheckContext {
  /** The option `health.unreadyWhenShedding`, in milliseconds. */
  readonly unreadySheddingMs: number
  /** For how long requests have been turned away; `undefined` when they are not. */
  readonly sheddingMs: () => number | undefined
}

/** After a stall this long it is better to restart the process. */
const deadlyStallMs = 30_000

/** The health checks and the state of the process, for the probes of an orchestrator. */
export class Health {
  readonly #checks = new Map<string, HealthCheck>()
  readonly #context: HealthContext
  #drainReason: string | undefined
  #isStarted = false

  constructor(context: HealthContext) {
    this.#context = context
  }

  /** @throws TypeError when the name is taken or an option is invalid */
  add(name: string, run: CheckFunction, options: CheckOptions): void {
    if (this.#checks.has(name)) throw new TypeError(`There is a health check named '${name}' already`)
    this.#checks.set(name, new HealthCheck(name, run, options, this.#context))
  }

  get isDraining(): boolean {
    return this.#drainReason !== undefined
  }

  /** @throws TypeError when the reason is no text */
  drain(reason: string): void {
    expectText(reason, 'reason')
    this.#drainReason = reason
  }

  markStarted(): void {
    this.#isStarted = true
  }

  /**
   * Answers a probe. `live` runs no checks: restarting this process does not help a database that is down.
   *
   * @param lastStallMs - the longest recent stall of the event loop
   */
  async report(kind: HealthKind, lastStallMs: number, options: HealthWait = {}): Promise<HealthReport> {
    expectOneOf(kind, 'kind', ['all', 'live', 'ready', 'startup'])
    expectOptions(options, { maxWait: 'own' })
    const { maxWait } = options
    const maxWaitMs = maxWait === undefined ? undefined : parseDuration(maxWait, 'maxWait')
    if (kind === 'live') return reportOf(lastStallMs >= deadlyStallMs ? 'event loop stalled' : null)
    if (kind === 'startup') return reportOf(this.#isStarted ? null : 'not started')
    const results = await Promise.all(
      [...this.#checks].map(async ([name, check]) => [name, await check.result(maxWaitMs)] as const),
    )
    const checks = Object.fromEntries(results)
    if (this.#drainReason !== undefined) return reportOf(this.#drainReason, checks)
    const { unreadySheddingMs } = this.#context
    const sheddingMs = this.#context.sheddingMs() ?? -1
    if (kind === 'ready' && sheddingMs >= unreadySheddingMs) return reportOf('shedding', checks)
    const statuses = results.map(([, { status }]) => status)
    const status = statuses.includes('fail') ? 'fail' : statuses.includes('warn') ? 'warn' : 'pass'
    return { status, reason: null, checks }
  }

  close(): void {
    for (const check of this.#checks.values()) check.close()
  }
}

/** @param reason - why the probe fails; `null` when it passes */
function reportOf(reason: string | null, checks: HealthReport['checks'] = {}): HealthReport {
  return { status: reason === null ? 'pass' : 'fail', reason, checks }
}
