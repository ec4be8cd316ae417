import { notify } from './rejections.ts'

/** A warning: something works, but not as well as it could. */
export interface Warning {
  /** The code of all warnings of this kind, such as `KEY_ORDER_NOT_NATIVE`. */
  readonly code: string
  readonly message: string
}

/** Receives warnings. The default passes them to `process.emitWarning`. Each object reports each code only once. */
export type OnWarn = (warning: Warning) => void

/** Creates a function that reports the first warning of each code, to the user's function or to `process.emitWarning`. */
export function createWarner(onWarn: OnWarn = emitWarning): OnWarn {
  const reported = new Set<string>()
  return (warning) => {
    if (reported.has(warning.code)) return
    reported.add(warning.code)
    // An error of `onWarn` must not fail the operation that the warning is about, or end the process from a timer or a
    // listener.
    const onError = (error: unknown) => {
      const thrown = error instanceof Error ? error.message : String(error)
      emitWarning({ ...warning, message: `${warning.message} (\`onWarn\` threw: ${thrown})` })
    }
    notify(onWarn, warning, onError)
  }
}

function emitWarning({ code, message }: Warning): void {
  process.emitWarning(message, { type: 'PosthasteWarning', code })
}
