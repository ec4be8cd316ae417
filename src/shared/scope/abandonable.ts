/** Work that may lose the last one who waits for its result: a request whose client leaves, or a load without callers. */
export class Abandonable {
  #isAbandoned = false
  #reason: unknown
  #controller: AbortController | undefined
  #listeners: Set<() => void> | undefined

  get isAbandoned(): boolean {
    return this.#isAbandoned
  }

  /** What the signal is aborted with. */
  get reason(): unknown {
    return this.#reason
  }

  /** Made when it is first asked for: most requests need none. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#isAbandoned) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Calls the listener once, when the work is abandoned. A tenth of the cost of a listener on the signal. */
  addListener(listener: () => void): void {
    this.#listeners ??= new Set()
    this.#listeners.add(listener)
  }

  removeListener(listener: () => void): void {
    this.#listeners?.delete(listener)
  }

  /** Only the first reason counts. */
  abandon(reason: unknown): void {
    if (this.#isAbandoned) return
    this.#isAbandoned = true
    this.#reason = reason
    this.#controller?.abort(reason)
    const listeners = this.#listeners
    this.#listeners = undefined
    for (const listener of listeners ?? []) listener()
  }
}
