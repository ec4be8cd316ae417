import { expectFunction, expectNumber, expectOptions, expectWholeNumber, type OptionKinds } from './arguments.ts'
import { watchRejection } from './rejections.ts'
import { type Duration, parseDuration } from './time/duration.ts'
import { sleep } from './time/waiting.ts'

/** How often a failing call is repeated, and how long to wait before each attempt. */
export interface RetryOptions {
  /** Attempts after the first one. @defaultValue 3 */
  readonly retries?: number | undefined
  /** Longest delay after the first failure. @defaultValue '50ms' */
  readonly minDelay?: Duration | undefined
  /** Longest delay after any failure. @defaultValue '5s' */
  readonly maxDelay?: Duration | undefined
  /** The longest delay is multiplied by this after each failure. @defaultValue 2 */
  readonly factor?: number | undefined
  /** Returns whether to repeat the call after this error. @defaultValue repeats after every error */
  readonly shouldRetry?: ((error: unknown, attempt: number) => boolean) | undefined
  /** Called after each failure that is followed by another attempt, before the delay. */
  readonly onRetry?: ((retry: RetryEvent) => void) | undefined
}

/** A failure that is followed by another attempt. */
export interface RetryEvent {
  readonly error: unknown
  /** The number of the attempt that failed, from 1. */
  readonly attempt: number
  readonly delayMs: number
}

/** The argument of the function that {@link withRetry} calls. */
export interface RetryContext {
  /** The number of the attempt, from 1. */
  readonly attempt: number
  /** The signal given to {@link withRetry}. */
  readonly signal: AbortSignal | undefined
}

/** Calls a function with the retries that it was created with. */
export type Retrier = <Value>(
  fn: (context: RetryContext) => Value | PromiseLike<Value>,
  signal?: AbortSignal | undefined,
) => Promise<Value>

/**
 * Calls a function, and calls it again when it fails. The delay before each attempt is random, from zero to a limit that
 * grows ("full jitter"), so that clients of a recovering server do not all return at once.
 *
 * No attempt is left running: after an abort the promise settles when the function has, so pass the signal on.
 *
 * @param fn - called with `{ attempt, signal }`; may be synchronous
 * @returns what the function returned
 * @throws the function's last error, unchanged; after an abort, the signal's reason
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 * @example
 * ```ts
 * const rates = await withRetry(({ signal }) => fetchRates({ signal }), { retries: 5, signal: request.signal })
 * ```
 */
export function withRetry<Value>(
  fn: (context: RetryContext) => Value | PromiseLike<Value>,
  options: RetryOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<Value> {
  expectFunction(fn, 'fn')
  expectOptions(options, { ...retryOptions, signal: 'signal' })
  const { signal, ...rest } = options
  return createRetrier(rest)(fn, signal)
}

const retryOptions: OptionKinds<RetryOptions> = {
  retries: 'own',
  minDelay: 'own',
  maxDelay: 'own',
  factor: 'own',
  shouldRetry: 'function',
  onRetry: 'function',
}

/**
 * Validates the options once, for many calls.
 *
 * @param name - the option that holds these options, for error messages
 */
export function createRetrier(options: RetryOptions = {}, name?: string): Retrier {
  expectOptions(options, retryOptions, name)
  const option = (key: string) => (name === undefined ? key : `${name}.${key}`)
  const { shouldRetry = () => true, onRetry } = options
  const retries = expectWholeNumber(options.retries ?? 3, option('retries'))
  const minDelayMs = parseDuration(options.minDelay ?? '50ms', option('minDelay'))
  const maxDelayMs = parseDuration(options.maxDelay ?? '5s', option('maxDelay'))
  const factor = expectNumber(options.factor ?? 2, option('factor'), { min: 1 })

  return async (fn, signal) => {
    const rejections: unknown[] = []
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted()
      try {
        return await fn({ attempt, signal })
      } catch (error) {
        signal?.throwIfAborted()
        if (attempt > retries || !shouldRetry(error, attempt)) throw error
        // Zero times a factor that has grown to `Infinity` is `NaN`: then there is no delay.
        const delayMs = Math.random() * Math.min(maxDelayMs, minDelayMs * factor ** (attempt - 1) || 0)
        watchRejection(onRetry?.({ error, attempt, delayMs }), (rejection) => rejections.push(rejection))
        await sleep(delayMs, { signal })
        if (rejections.length > 0) throw rejections[0]
      }
    }
  }
}
