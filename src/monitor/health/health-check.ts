import { expectFunction, expectOptions, expectString, type OptionKinds } from '../../shared/arguments.ts'
import { expectWholeNumber } from '../../shared/assertions.ts'
import type { Clock } from '../../shared/time/clock.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import { startTimer } from '../../shared/time/timers.ts'
import { untilAborted, withDeadline } from '../../shared/time/waiting.ts'
import type { CheckEvent } from '../types.ts'
import type { WallClock } from '../wall-clock.ts'
import type { CheckResult } from './health-report.ts'

/** Checks one dependency. It fails by throwing, rejecting or returning `false`; any other result passes. */
export type CheckFunction = (context: { readonly signal: AbortSignal }) => unknown

/** How a health check runs and what its failure means. */
export interface CheckOptions {
  /** Its failure makes the instance unready (503); otherwise it is a warning (200). @defaultValue true */
  readonly critical?: boolean | undefined
  /** The check fails when it takes longer; `signal` is aborted. @defaultValue `'2s'` */
  readonly timeout?: Duration | undefined
  /** How old a result may be before the check runs again. @defaultValue the monitor's `health.interval` */
  readonly interval?: Duration | undefined
  /** Number of failures in a row before the check counts as failed. @defaultValue 2 */
  readonly failAfter?: number | undefined
}

const checkOptions: OptionKinds<CheckOptions> = {
  critical: 'boolean',
  timeout: 'own',
  interval: 'own',
  failAfter: 'own',
}

/** What the checks of one monitor share. */
export interface CheckContext {
  readonly checkIntervalMs: number
  readonly clock: Clock
  readonly wall: WallClock
  /** Called when a check's status changes. */
  readonly onChange: (event: CheckEvent) => void
}

/**
 * One check. No caller waits longer than its timeout. The user's function is not called again before its last call has
 * settled. So a function that hangs and ignores its signal leaves one call behind, and not one for each probe.
 */
export class HealthCheck {
  readonly #name: string
  readonly #run: CheckFunction
  readonly #isCritical: boolean
  readonly #timeoutMs: number
  readonly #intervalMs: number
  readonly #failAfter: number
  readonly #context: CheckContext
  readonly #controllers = new Set<AbortController>()
  #running: Promise<void> | undefined
  #isUnsettled = false
  #failuresInRow = 0
  #endedAt: number | undefined
  #durationMs: number | null = null
  #reason: CheckResult['reason'] = null
  #emittedStatus: CheckResult['status'] = 'pass'

  /** @throws TypeError or RangeError when an option is invalid */
  constructor(name: string, run: CheckFunction, options: CheckOptions, context: CheckContext) {
    expectString(name, 'name')
    expectFunction(run, 'fn')
    expectOptions(options, checkOptions)
    const { critical = true, timeout = '2s', interval, failAfter = 2 } = options
    this.#name = name
    this.#run = run
    this.#isCritical = critical
    this.#timeoutMs = parseDuration(timeout, 'timeout')
    this.#intervalMs = interval === undefined ? context.checkIntervalMs : parseDuration(interval, 'interval')
    this.#failAfter = expectWholeNumber(failAfter, 'failAfter', { min: 1 })
    this.#context = context
  }

  /**
   * The latest result. Runs the check first when that result is too old, but waits no longer than `maxWaitMs` for it: the run
   * goes on, and the next caller gets its result.
   */
  async result(maxWaitMs: number = Infinity): Promise<CheckResult> {
    const isFresh = this.#endedAt !== undefined && this.#context.clock() - this.#endedAt < this.#intervalMs
    if (!isFresh) {
      this.#running ??= this.#runOnce().finally(() => {
        this.#running = undefined
      })
      await (maxWaitMs === Infinity ? this.#running : withDeadline(this.#running, maxWaitMs, () => undefined))
    }
    return this.#toResult()
  }

  close(): void {
    for (const controller of this.#controllers) controller.abort()
  }

  async #runOnce(): Promise<void> {
    const startedAt = this.#context.clock()
    const failure = this.#isUnsettled ? ({ reason: 'timeout' } as const) : await this.#findFailure()
    this.#judge(failure)
    this.#endedAt = this.#context.clock()
    this.#durationMs = this.#endedAt - startedAt
    this.#emitChange(failure)
  }

  /** Runs the check and returns why it failed; `undefined` when it passed. Never rejects. */
  async #findFailure(): Promise<Failure | undefined> {
    const controller = new AbortController()
    const { signal } = controller
    this.#controllers.add(controller)
    const timer = startTimer(() => controller.abort(), this.#timeoutMs)
    try {
      const result = await untilAborted(this.#tryRun(signal), signal)
      return result === false ? { reason: 'failed', error: new Error('The check answered false') } : undefined
    } catch (error) {
      return signal.aborted ? { reason: 'timeout' } : { reason: 'failed', error }
    } finally {
      timer.cancel()
      controller.abort()
      this.#controllers.delete(controller)
    }
  }

  /** Turns a synchronous throw into a rejection. */
  async #tryRun(signal: AbortSignal): Promise<unknown> {
    this.#isUnsettled = true
    try {
      return await this.#run({ signal })
    } finally {
      this.#isUnsettled = false
    }
  }

  #judge(failure: Failure | undefined): void {
    this.#failuresInRow = failure === undefined ? 0 : this.#failuresInRow + 1
    if (failure === undefined) this.#reason = null
    // The first result counts at once: before it, the check was never known to pass.
    else if (this.#endedAt === undefined || this.#failuresInRow >= this.#failAfter) this.#reason = failure.reason
  }

  #emitChange(failure: Failure | undefined): void {
    const { status } = this.#toResult()
    if (status === this.#emittedStatus) return
    this.#emittedStatus = status
    this.#context.onChange({ name: this.#name, status, error: failure?.error })
  }

  /** The result of the latest run. Before the first one has ended, the check has not answered in time. */
  #toResult(): CheckResult {
    const reason = this.#endedAt === undefined ? 'timeout' : this.#reason
    return {
      status: reason === null ? 'pass' : this.#isCritical ? 'fail' : 'warn',
      critical: this.#isCritical,
      reason,
      time: this.#endedAt === undefined ? null : this.#context.wall.isoOf(this.#endedAt),
      durationMs: this.#durationMs,
    }
  }
}

interface Failure {
  readonly reason: 'failed' | 'timeout'
  readonly error?: unknown
}
