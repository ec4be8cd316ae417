import { expectWholeNumber } from '../shared/assertions.ts'
import type { Clock } from '../shared/clock.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import type { CheckEvent, CheckResult, HealthReport } from './types.ts'

/** Looks at one dependency. Throwing, rejecting or answering `false` is a failure; anything else is well. */
export type CheckFunction = (context: { readonly signal: AbortSignal }) => unknown

/** How a health check is run and what its failure means. */
export interface CheckOptions {
  /** Its failure makes the instance unready (503); otherwise it is a warning (200). @defaultValue true */
  readonly critical?: boolean | undefined
  /** An answer that takes longer is a failure, and `signal` is aborted. @defaultValue `'2s'` */
  readonly timeout?: Duration | undefined
  /** How old an answer may be before the check is run again. @defaultValue the monitor's `health.interval` */
  readonly interval?: Duration | undefined
  /** Failures in a row before it counts as failed. @defaultValue 2 */
  readonly failAfter?: number | undefined
}

/** Which question a health document answers. */
export type HealthKind = 'all' | 'live' | 'ready' | 'startup'

/** The loop was blocked for so long that the process is better restarted. */
const deadlyStallMs = 30_000

/** Health checks and the state of the process, as probes ask for them. */
export class Health {
  readonly #checks = new Map<string, Check>()
  readonly #usualIntervalMs: number
  readonly #clock: Clock
  readonly #onChange: (event: CheckEvent) => void
  #draining: string | undefined
  #isStarted = false

  /** @param usualIntervalMs - how old an answer may be, where the check does not say */
  constructor(usualIntervalMs: number, clock: Clock, onChange: (event: CheckEvent) => void) {
    this.#usualIntervalMs = usualIntervalMs
    this.#clock = clock
    this.#onChange = onChange
  }

  add(name: string, run: CheckFunction, options: CheckOptions): void {
    if (this.#checks.has(name)) throw new TypeError(`There is a health check named '${name}' already`)
    this.#checks.set(name, new Check(name, run, options, this.#usualIntervalMs, this.#clock, this.#onChange))
  }

  drain(reason: string): void {
    this.#draining = reason
  }

  markStarted(): void {
    this.#isStarted = true
  }

  /**
   * Answers a probe. `live` asks no dependency: a database that is down is no reason to restart this process.
   *
   * @param stalledMs - how long the event loop was blocked at last
   */
  async report(kind: HealthKind, stalledMs: number): Promise<HealthReport> {
    if (kind === 'live') {
      const isStuck = stalledMs >= deadlyStallMs
      return { status: isStuck ? 'fail' : 'pass', reason: isStuck ? 'event loop stalled' : null, checks: {} }
    }
    if (kind === 'startup') {
      return { status: this.#isStarted ? 'pass' : 'fail', reason: this.#isStarted ? null : 'not started', checks: {} }
    }
    const results = await Promise.all(
      [...this.#checks].map(async ([name, check]) => [name, await check.result()] as const),
    )
    const checks = Object.fromEntries(results)
    const worst = results.reduce<CheckResult['status']>((status, [, result]) => worse(status, result.status), 'pass')
    if (this.#draining !== undefined) return { status: 'fail', reason: this.#draining, checks }
    return { status: worst, reason: null, checks }
  }

  close(): void {
    for (const check of this.#checks.values()) check.close()
  }
}

/** One check, run at most once at a time and never waited for longer than its timeout. */
class Check {
  readonly #name: string
  readonly #run: CheckFunction
  readonly #isCritical: boolean
  readonly #timeoutMs: number
  readonly #intervalMs: number
  readonly #failAfter: number
  readonly #clock: Clock
  readonly #onChange: (event: CheckEvent) => void
  readonly #controllers = new Set<AbortController>()
  #running: Promise<void> | undefined
  #failures = 0
  #answeredAt: number | undefined
  #tookMs: number | null = null
  #reason: CheckResult['reason'] = null
  #told: CheckResult['status'] = 'pass'

  constructor(
    name: string,
    run: CheckFunction,
    { critical = true, timeout = '2s', interval, failAfter = 2 }: CheckOptions,
    usualIntervalMs: number,
    clock: Clock,
    onChange: (event: CheckEvent) => void,
  ) {
    this.#name = name
    this.#run = run
    this.#isCritical = critical
    this.#timeoutMs = parseDuration(timeout, 'timeout')
    this.#intervalMs = interval === undefined ? usualIntervalMs : parseDuration(interval, 'interval')
    this.#failAfter = expectWholeNumber(failAfter, 'failAfter', { min: 1 })
    this.#clock = clock
    this.#onChange = onChange
  }

  /** The last answer, if it is fresh enough, else a new one. */
  async result(): Promise<CheckResult> {
    const isFresh = this.#answeredAt !== undefined && this.#clock() - this.#answeredAt < this.#intervalMs
    if (!isFresh) {
      this.#running ??= this.#ask().finally(() => {
        this.#running = undefined
      })
      await this.#running
    }
    return this.#describe()
  }

  close(): void {
    for (const controller of this.#controllers) controller.abort()
  }

  async #ask(): Promise<void> {
    const began = this.#clock()
    const controller = new AbortController()
    this.#controllers.add(controller)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<typeof isLate>((resolve) => {
      timer = setTimeout(resolve, this.#timeoutMs, isLate)
      timer.unref()
      controller.signal.addEventListener('abort', () => resolve(isLate))
    })
    const outcome = await Promise.race([this.#try(controller.signal), late])
    clearTimeout(timer)
    controller.abort()
    this.#controllers.delete(controller)
    this.#judge(outcome)
    this.#answeredAt = this.#clock()
    this.#tookMs = this.#answeredAt - began
    this.#tell(outcome)
  }

  /** What went wrong, if something did. */
  async #try(signal: AbortSignal): Promise<Failure | undefined> {
    try {
      return (await this.#run({ signal })) === false ? { error: new Error('The check answered false') } : undefined
    } catch (error) {
      return { error }
    }
  }

  #judge(outcome: Failure | typeof isLate | undefined): void {
    this.#failures = outcome === undefined ? 0 : this.#failures + 1
    if (outcome === undefined) this.#reason = null
    // Before it ever passed, one failure is enough: there is no good state to be patient about.
    else if (this.#answeredAt === undefined || this.#failures >= this.#failAfter)
      this.#reason = outcome === isLate ? 'timeout' : 'failed'
  }

  #tell(outcome: Failure | typeof isLate | undefined): void {
    const { status } = this.#describe()
    if (status === this.#told) return
    this.#told = status
    this.#onChange({ name: this.#name, status, error: typeof outcome === 'object' ? outcome.error : undefined })
  }

  /** What the last answer means; there is one by now. */
  #describe(): CheckResult {
    return {
      status: this.#reason === null ? 'pass' : this.#isCritical ? 'fail' : 'warn',
      critical: this.#isCritical,
      reason: this.#reason,
      time: new Date(this.#answeredAt as number).toISOString(),
      durationMs: this.#tookMs,
    }
  }
}

interface Failure {
  readonly error: unknown
}

const isLate = Symbol('late')

function worse(a: CheckResult['status'], b: CheckResult['status']): CheckResult['status'] {
  const order = ['pass', 'warn', 'fail'] as const
  return order.indexOf(a) > order.indexOf(b) ? a : b
}
