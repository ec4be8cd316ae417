import {
  expectFunction,
  expectOptions,
  expectString,
  expectWholeNumber,
  type OptionKinds,
} from '../../shared/arguments.ts'
import { keepRunning } from '../../shared/scope/work.ts'
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
  /** The run under way. */
  #running: Promise<void> | undefined
  /** Whether the user's function has not settled, which may be long after its run has timed out. */
  #isUnsettled = false
  #controller: AbortController | undefined
  #failuresInRow = 0
  /** When the latest run ended; `undefined` before. */
  #endedAt: number | undefined
  #result: CheckResult

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
    // Before the first run has ended, the check has not answered in time.
    this.#result = this.#toResult('timeout', null, null)
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
      await (maxWaitMs === Infinity ? this.#running : withDeadline(this.#running, maxWaitMs))
    }
    // A copy, because reports belong to their readers, who may change them.
    return { ...this.#result }
  }

  close(): void {
    this.#controller?.abort()
  }

  async #runOnce(): Promise<void> {
    const { clock, wall, onChange } = this.#context
    const startedAt = clock()
    const failure = this.#isUnsettled ? ({ reason: 'timeout' } as const) : await this.#findFailure()
    const isFirst = this.#endedAt === undefined
    const before = this.#result
    this.#endedAt = clock()
    this.#failuresInRow = failure === undefined ? 0 : this.#failuresInRow + 1
    // The first result counts at once: before it, the check was never known to pass.
    const isJudged = failure === undefined || isFirst || this.#failuresInRow >= this.#failAfter
    const reason = isJudged ? (failure?.reason ?? null) : before.reason
    this.#result = this.#toResult(reason, wall.isoOf(this.#endedAt), this.#endedAt - startedAt)
    const { status } = this.#result
    if (status !== (isFirst ? 'pass' : before.status)) onChange({ name: this.#name, status, error: failure?.error })
  }

  /** Runs the check and returns why it failed; `undefined` when it passed. Never rejects. */
  async #findFailure(): Promise<Failure | undefined> {
    const controller = new AbortController()
    this.#controller = controller
    const { signal } = controller
    const timer = startTimer(() => controller.abort(), this.#timeoutMs)
    try {
      const result = await untilAborted(this.#tryRun(signal), signal)
      return result === false ? { reason: 'failed', error: new Error('The check answered false') } : undefined
    } catch (error) {
      return signal.aborted ? { reason: 'timeout' } : { reason: 'failed', error }
    } finally {
      timer.cancel()
      controller.abort()
    }
  }

  /** Turns a synchronous throw into a rejection. */
  async #tryRun(signal: AbortSignal): Promise<unknown> {
    this.#isUnsettled = true
    try {
      // A probe that gives up says nothing about the dependency, and others wait for the same run.
      return await keepRunning(() => this.#run({ signal }))
    } finally {
      this.#isUnsettled = false
    }
  }

  #toResult(reason: CheckResult['reason'], time: string | null, durationMs: number | null): CheckResult {
    const status = reason === null ? 'pass' : this.#isCritical ? 'fail' : 'warn'
    return { status, critical: this.#isCritical, reason, time, durationMs }
  }
}

interface Failure {
  readonly reason: 'failed' | 'timeout'
  readonly error?: unknown
}
