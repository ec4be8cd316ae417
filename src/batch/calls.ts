import { CheckpointConflict } from './conflict.ts'
import type { Invoke } from './context.ts'
import type { BatchSettings } from './options.ts'

/** Ends waiting for a call when its time is up: first by its signal, then, `grace` later, by giving it up. */
export function timed<Input, Value>(
  invoke: Invoke<Input, Value>,
  timeoutMs: number,
  graceMs: number,
): Invoke<Input, Value> {
  return (input, call) =>
    new Promise((resolve, reject) => {
      const { signal } = call
      const controller = new AbortController()
      const stop = () => controller.abort(signal.reason)
      let late: DOMException | undefined
      let timer = setTimeout(() => {
        late = new DOMException(`The call took longer than ${timeoutMs} ms`, 'TimeoutError')
        controller.abort(late)
        timer = setTimeout(() => {
          call.abandoned = true
          end()
          reject(late)
        }, graceMs)
      }, timeoutMs)
      const end = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', stop)
        call.signal = signal
      }
      signal.addEventListener('abort', stop)
      call.signal = controller.signal
      new Promise<Value>((settle) => settle(invoke(input, call))).then(
        (value) => {
          end()
          // Late work is a failure even when it ends well: the caller was promised a limit.
          if (late === undefined) resolve(value)
          else reject(late)
        },
        (error) => {
          end()
          reject(late ?? error)
        },
      )
    })
}

/** Repeats a call that fails, unless it may still be running. */
export function retried<Input, Value>(
  invoke: Invoke<Input, Value>,
  retrier: NonNullable<BatchSettings<unknown>['retrier']>,
): Invoke<Input, Value> {
  return async (input, call) => {
    const outcome = await retrier(async ({ attempt }) => {
      call.attempt = attempt
      call.failedAt = undefined
      try {
        return { value: await invoke(input, call) }
      } catch (error) {
        if (call.abandoned || error instanceof CheckpointConflict) return { error }
        throw error
      }
    }, call.signal)
    if ('error' in outcome) throw outcome.error
    return outcome.value
  }
}
