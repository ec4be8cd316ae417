import { startTimer } from './timers.ts'

/**
 * Resolves after the delay, which may have any length.
 *
 * @throws the signal's reason if the signal is aborted first
 */
export function sleep(
  delayMs: number,
  { signal, keepsAlive = true }: { readonly signal?: AbortSignal | undefined; readonly keepsAlive?: boolean } = {},
): Promise<void> {
  if (signal?.aborted) return Promise.reject(signal.reason)
  const { promise: slept, resolve } = Promise.withResolvers<void>()
  const timer = startTimer(resolve, delayMs, { keepsAlive })
  return signal === undefined ? slept : untilAborted(slept, signal).finally(() => timer.cancel())
}

/**
 * Settles like the promise. An abort does not stop the promise's work.
 *
 * @throws the signal's reason if the signal is aborted first
 */
export async function untilAborted<Value>(
  promise: PromiseLike<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/**
 * Settles like the promise, or like `late()` if the promise takes longer than the limit: by default, with `undefined`. The
 * promise's work goes on.
 *
 * @param limitMs - may have any length; the process stays alive until then
 */
export async function withDeadline<Value, Late = undefined>(
  promise: PromiseLike<Value>,
  limitMs: number,
  late?: () => Late,
): Promise<Value | Late> {
  const { promise: elapsed, resolve } = Promise.withResolvers<void>()
  const timer = startTimer(resolve, limitMs, { keepsAlive: true })
  try {
    return await Promise.race([promise, elapsed.then(late) as Promise<Late>])
  } finally {
    timer.cancel()
  }
}
