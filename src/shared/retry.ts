import { setTimeout as sleep } from 'node:timers/promises'
import { expectNumber, expectWholeNumber } from './assertions.ts'
import { type Duration, parseDuration } from './duration.ts'

/** How often and how patiently a failing call is tried again. */
export interface RetryOptions {
  /** Further calls after the first one. @defaultValue 3 */
  readonly retries?: number | undefined
  /** Upper bound of the pause after the first failure. @defaultValue '50ms' */
  readonly minDelay?: Duration | undefined
  /** Upper bound of any pause. @defaultValue '5s' */
  readonly maxDelay?: Duration | undefined
  /** What the upper bound grows by from one failure to the next. @defaultValue 2 */
  readonly factor?: number | undefined
  /** Whether this error may go away by itself. @defaultValue every error */
  readonly shouldRetry?: ((error: unknown, attempt: number) => boolean) | undefined
  /** Told of each failure that is tried again, before the pause. */
  readonly onRetry?: ((retry: RetryEvent) => void) | undefined
}

/** A failure that is about to be tried again. */
export interface RetryEvent {
  readonly error: unknown
  /** The attempt that failed, from 1. */
  readonly attempt: number
  readonly delayMs: number
}

/** What the function of {@link withRetry} is told. */
export interface RetryContext {
  /** From 1. */
  readonly attempt: number
  /** The signal given to {@link withRetry}. */
  readonly signal: AbortSignal | undefined
}

type Retrier = <Value>(
  fn: (context: RetryContext) => Value | PromiseLike<Value>,
  signal?: AbortSignal | undefined,
) => Promise<Value>

/**
 * Calls a function again when it fails, after a pause that is drawn evenly from zero to a bound that grows: "full jitter",
 * which spreads the callers of a server that is coming back.
 *
 * An attempt is never left running: after an abort the promise settles when the function does, so hand it the signal.
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
  { signal, ...options }: RetryOptions & { readonly signal?: AbortSignal | undefined } = {},
): Promise<Value> {
  return createRetrier(options)(fn, signal)
}

/** {@link withRetry} with its options read once, for a loop. */
export function createRetrier(options: RetryOptions = {}, name?: string): Retrier {
  const option = (key: string) => (name === undefined ? key : `${name}.${key}`)
  const { shouldRetry = () => true, onRetry } = options
  const retries = expectWholeNumber(options.retries ?? 3, option('retries'))
  const minDelayMs = parseDuration(options.minDelay ?? '50ms', option('minDelay'))
  const maxDelayMs = parseDuration(options.maxDelay ?? '5s', option('maxDelay'))
  const factor = expectNumber(options.factor ?? 2, option('factor'), { min: 1 })

  return async (fn, signal) => {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted()
      try {
        return await fn({ attempt, signal })
      } catch (error) {
        signal?.throwIfAborted()
        if (attempt > retries || !shouldRetry(error, attempt)) throw error
        const delayMs = Math.random() * Math.min(maxDelayMs, minDelayMs * factor ** (attempt - 1))
        onRetry?.({ error, attempt, delayMs })
        await pause(delayMs, signal)
      }
    }
  }
}

/** Waits; an abort ends it with the signal's reason, where Node's own sleep would reject with an error of its own. */
export async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    // A longer timer would fire at once.
    await sleep(Math.min(delayMs, 2 ** 31 - 1), undefined, { signal })
  } catch {
    signal?.throwIfAborted()
  }
}
