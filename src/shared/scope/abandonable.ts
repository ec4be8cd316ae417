/**
 * Work that may be abandoned, because nobody waits for its result any more: a request whose client has left, or a load
 * without callers.
 */
export class Abandonable {
  isAbandoned = false
  /** The abort reason of the signal. */
  reason: unknown
  /** Whether the work has its signal, and may stop when that is aborted. */
  hasSignal = false
  #controller: AbortController | undefined
  #listeners: Set<() => void> | undefined

  /** For the work itself. */
  get signal(): AbortSignal {
    this.hasSignal = true
    return this.toSignal()
  }

  /** The signal, for others than the work. It is created on first use, because most requests need none. */
  toSignal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.isAbandoned) this.#controller.abort(this.reason)
    }
    return this.#controller.signal
  }

  /** Calls the listener once, when the work is abandoned. This costs a tenth of a listener on the signal. */
  addListener(listener: () => void): void {
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
  }

  removeListener(listener: () => void): void {
    this.#listeners?.delete(listener)
  }

  /** Only the first reason counts. */
  abandon(reason: unknown): void {
    if (this.isAbandoned) return
    this.isAbandoned = true
    this.reason = reason
    this.#controller?.abort(reason)
    const listeners = this.#listeners
    this.#listeners = undefined
    for (const listener of listeners ?? []) listener()
  }
}
