/** Something that works, but not as well as its author would want. */
export interface Warning {
  /** The same for every warning of a kind, as in `KEY_ORDER_NOT_NATIVE`. */
  readonly code: string
  readonly message: string
}

/** Receives each warning; the default writes it to `process.emitWarning`, once per code and owner. */
export type OnWarn = (warning: Warning) => void

/** A warner that says each code once, through the user's function or else through Node's own channel. */
export function createWarner(onWarn: OnWarn = emitWarning): OnWarn {
  const said = new Set<string>()
  return (warning) => {
    if (said.has(warning.code)) return
    said.add(warning.code)
    onWarn(warning)
  }
}

function emitWarning({ code, message }: Warning): void {
  process.emitWarning(message, { type: 'PosthasteWarning', code })
}
