import type { Tick } from './invalidations.ts'

/** A value, and what it rests on. */
export interface Answer {
  readonly value: unknown
  /** What this process had learned when the value's read or load began. */
  readonly begun: Tick
  readonly tags: Iterable<string>
}

/**
 * One search for one key's value, shared by everybody in this process who asks meanwhile. It may answer before it ends: with
 * a stale value, while it loads the new one.
 */
export class Flight {
  /** Whether it loads in any case. */
  readonly isFresh: boolean
  /** Whether it renews a value that is still there to be served. */
  readonly isRefresh: boolean
  /** What this process had learned when the latest read or the load began. */
  begun: Tick
  /** When that was. */
  begunAt: number
  readonly answer: Promise<Answer>
  readonly resolve: (answer: Answer) => void
  /** Whether a later load of the same key has begun, whose value is to be kept instead. */
  isSuperseded = false
  readonly #reject: (reason: unknown) => void
  readonly #named: readonly string[]
  #tags: Set<string> | undefined
  #waiters = 0
  #controller: AbortController | undefined

  constructor(kind: { isFresh: boolean; isRefresh: boolean }, tags: readonly string[], begun: Tick, begunAt: number) {
    this.isFresh = kind.isFresh
    this.isRefresh = kind.isRefresh
    this.#named = tags
    this.begun = begun
    this.begunAt = begunAt
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    this.answer = promise
    this.resolve = resolve
    this.#reject = reject
  }

  reject(reason: unknown): void {
    // Those who wait handle the error; there may be nobody.
    this.answer.catch(() => {})
    this.#reject(reason)
  }

  /** What its callers and its load have named. Made when it is asked for, like the controller: most searches need neither. */
  get tags(): Set<string> {
    this.#tags ??= new Set(this.#named)
    return this.#tags
  }

  get controller(): AbortController {
    this.#controller ??= new AbortController()
    return this.#controller
  }

  get isAborted(): boolean {
    return this.#controller?.signal.aborted === true
  }

  /** The answer, or the signal's reason. When nobody waits any more the search is aborted. */
  wait(signal: AbortSignal | undefined): Promise<Answer> {
    this.#waiters++
    return signal === undefined ? this.answer : this.#waitUnless(signal)
  }

  async #waitUnless(signal: AbortSignal): Promise<Answer> {
    const aborted = Promise.withResolvers<never>()
    const abort = () => aborted.reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    try {
      return await Promise.race([this.answer, aborted.promise])
    } catch (error) {
      this.#waiters--
      if (signal.aborted && this.#waiters === 0 && !this.isRefresh) this.controller.abort(signal.reason)
      throw error
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }
}
