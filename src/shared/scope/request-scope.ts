// The global `performance` is a getter. Calling it takes a quarter of the time of reading the clock.
import { performance } from 'node:perf_hooks'
import { describeValue } from '../arguments.ts'
import { isHttpToken } from '../http-token.ts'
import { startTimer, type Timer } from '../time/timers.ts'
import { Abandonable } from './abandonable.ts'
import { type Wait, wait } from './wait-names.ts'
import { holdLoop, releaseLoop, Waits } from './waits.ts'

/** What a handler may know of its request: see {@link requestScope}. */
export interface RequestScope {
  /** Aborted when the client leaves before it has its answer, and when the deadline passes. Pass it to `fetch`. */
  readonly signal: AbortSignal
  /** When the request should have been answered: milliseconds since 1970. `undefined` without the option `deadline`. */
  readonly deadline?: number | undefined
  /**
   * Runs the function and counts its time as a wait for something upstream. `EndpointStats.breakdown` and `Server-Timing`
   * show that wait; `Server-Timing` also shows it under its own name. The names `'pool'`, `'db'`, `'cache'` and
   * `'upstream'` stand for these parts of the breakdown.
   *
   * @throws TypeError for a name that is not a word, and for `'loop'` and `'rest'`, which are the time without waits
   */
  time<Value>(name: string, fn: () => PromiseLike<Value>): Promise<Value>
  time<Result>(name: string, fn: () => Result): Result
}

/** The scope of one request, or of one `withQueryScope` outside of requests. */
export class OpenRequestScope extends Abandonable implements RequestScope {
  readonly waits: Waits
  deadline: number | undefined
  readonly #startedAt = performance.now()
  readonly #isPart: boolean
  #timer: Timer | undefined
  #stopFollowing: (() => void)[] | undefined

  /**
   * @param around - the scope that this one is a part of: their times are counted together
   * @param outer - when this is abandoned, the scope is abandoned too
   */
  constructor(around: OpenRequestScope | undefined, outer: Abandonable | undefined) {
    super()
    this.#isPart = around !== undefined
    this.waits = around?.waits ?? new Waits(this.#startedAt)
    this.deadline = around?.deadline
    if (outer === undefined) return
    const abandon = () => this.abandon(outer.reason)
    outer.addListener(abandon)
    this.#stopFollowing = [() => outer.removeListener(abandon)]
    if (outer.isAbandoned) abandon()
  }

  /** Call it right before the code of the request runs. */
  begin(): void {
    holdLoop(this.waits, this.#startedAt)
  }

  /** Abandons the request when the deadline passes before {@link end}. */
  setDeadline(ms: number): void {
    this.deadline = Math.min(this.deadline ?? Number.POSITIVE_INFINITY, Math.round(Date.now() + ms))
    const abandon = () => this.abandon(new DOMException(`The deadline of ${ms} ms has passed`, 'TimeoutError'))
    this.#timer = startTimer(abandon, ms)
  }

  /** Abandons the request when the signal is aborted before {@link end}. */
  follow(signal: AbortSignal): void {
    const abandon = () => this.abandon(signal.reason)
    signal.addEventListener('abort', abandon)
    this.#stopFollowing ??= []
    this.#stopFollowing.push(() => signal.removeEventListener('abort', abandon))
    if (signal.aborted) abandon()
  }

  time<Value>(name: string, fn: () => Value): Value {
    if (typeof name !== 'string' || !isHttpToken(name)) {
      throw new TypeError(`Expected \`name\` to be a word, got ${describeValue(name)}`)
    }
    if (name === 'loop' || name === 'rest') {
      throw new TypeError(
        `Expected \`name\` to be another word than '${name}', which is what the time without waits is called`,
      )
    }
    const known = partOf(name)
    const part = known ?? wait.upstream
    const { waits } = this
    const startedAt = performance.now()
    const ofName = known === undefined ? waits.ofName(name, startedAt) : undefined
    waits.begin(part, startedAt)
    ofName?.begin(wait.upstream, startedAt)
    const end = () => {
      const now = performance.now()
      waits.end(part, now)
      ofName?.end(wait.upstream, now)
      holdLoop(waits, now)
    }
    let result: Value
    try {
      result = fn()
    } catch (error) {
      end()
      throw error
    }
    if (isPromiseLike(result)) {
      return Promise.resolve(result).finally(end) as Value
    }
    end()
    return result
  }

  /** Call it when the request has ended, in whatever way. */
  end(now: number = performance.now()): void {
    this.#timer?.cancel()
    for (const stop of this.#stopFollowing ?? []) stop()
    // The code that follows belongs to the scope around this one.
    if (this.#isPart) return
    releaseLoop(this.waits, now)
    this.waits.settle(now)
  }
}

function partOf(name: string): Wait | undefined {
  if (name === 'pool') return wait.pool
  if (name === 'db') return wait.database
  if (name === 'cache') return wait.cache
  return name === 'upstream' ? wait.upstream : undefined
}

function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
