import type { Transaction } from 'kysely'
import type { Retrier } from '../shared/retry.ts'
import { startTimer } from '../shared/time/timers.ts'
import { CheckpointConflict } from './checkpoints/checkpoint-store.ts'

/** The second argument of a processor: which part of the input it is called for, and how. */
export type BatchContext<DB = never> = {
  /** The position in the input of the item, or of the chunk's first item, from 0. */
  readonly index: number
  /** The number of the batch, from 0. */
  readonly batch: number
  /** The number of the attempt, from 1. */
  readonly attempt: number
  /** Aborted when the run stops, and when the `timeout` of this attempt has passed. Pass it to everything that waits. */
  readonly signal: AbortSignal
  /**
   * An idempotency key for receivers that accept one: the same items have the same key in every attempt, and in every run
   * with this checkpoint. `undefined` without a checkpoint.
   */
  readonly key: string | undefined
} & ([DB] extends [never]
  ? unknown
  : {
      /** The transaction of the batch. It also saves the batch's checkpoint. */
      readonly trx: Transaction<DB>
    })

/** One call of the processor: the {@link BatchContext}, and the state that the run keeps. One object for both saves time. */
export class ProcessorCall {
  attempt = 1
  signal: AbortSignal
  trx: Transaction<unknown> | undefined = undefined
  /** Set when the call has ignored its signal for longer than `grace`. It may still be running. */
  isAbandoned = false
  /** Which of the chunk's items failed, if that is known. */
  failedAt: number | undefined = undefined
  readonly index: number
  readonly batch: number
  /** The key of the run's checkpoint. */
  readonly runKey: string | undefined

  constructor(index: number, batch: number, signal: AbortSignal, runKey: string | undefined) {
    this.index = index
    this.batch = batch
    this.signal = signal
    this.runKey = runKey
  }

  get key(): string | undefined {
    return this.runKey === undefined ? undefined : `${this.runKey}:${this.index}`
  }
}

/** Calls the processor. The run wraps it in a time limit, retries and a transaction, as the options say. */
export type Invoke<Input, Value> = (input: Input, call: ProcessorCall) => Value | PromiseLike<Value>

/** Aborts the call's signal after `timeoutMs`, and stops waiting for the call `graceMs` later. */
export function withTimeout<Input, Value>(
  invoke: Invoke<Input, Value>,
  timeoutMs: number,
  graceMs: number,
): Invoke<Input, Value> {
  return (input, call) =>
    new Promise((resolve, reject) => {
      const { signal } = call
      const controller = new AbortController()
      const abort = () => controller.abort(signal.reason)
      let timeoutError: DOMException | undefined
      const timeOut = () => {
        timeoutError = new DOMException(`The call took longer than ${timeoutMs} ms`, 'TimeoutError')
        controller.abort(timeoutError)
        timer = startTimer(abandon, graceMs, { keepsAlive: true })
      }
      const abandon = () => {
        call.isAbandoned = true
        cleanUp()
        reject(timeoutError)
      }
      let timer = startTimer(timeOut, timeoutMs, { keepsAlive: true })
      const cleanUp = () => {
        timer.cancel()
        signal.removeEventListener('abort', abort)
        call.signal = signal
      }
      signal.addEventListener('abort', abort)
      call.signal = controller.signal
      new Promise<Value>((settle) => settle(invoke(input, call))).then(
        (value) => {
          cleanUp()
          // A call that ends after the timeout counts as failed even if it succeeds, because `timeout` promises a limit.
          if (timeoutError === undefined) resolve(value)
          else reject(timeoutError)
        },
        (error) => {
          cleanUp()
          reject(timeoutError ?? error)
        },
      )
    })
}

/** Repeats a call that fails, unless it may still be running or another run has taken over. */
export function withRetries<Input, Value>(invoke: Invoke<Input, Value>, retrier: Retrier): Invoke<Input, Value> {
  return async (input, call) => {
    const settled = await retrier(async ({ attempt }) => {
      call.attempt = attempt
      call.failedAt = undefined
      try {
        return { value: await invoke(input, call) }
      } catch (error) {
        if (call.isAbandoned || error instanceof CheckpointConflict) return { error }
        throw error
      }
    }, call.signal)
    if ('error' in settled) throw settled.error
    return settled.value
  }
}
