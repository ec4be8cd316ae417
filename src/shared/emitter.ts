import { expectFunction } from './arguments.ts'
import { notify } from './rejections.ts'

/** Calls listeners by event name. An error of a listener reaches neither the other listeners nor the caller of `emit`. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>()
  /** The number of all listeners, so that `hears` costs almost nothing without listeners. */
  #count = 0
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /**
   * Adds a listener, and returns a function that removes it.
   *
   * @throws TypeError when the listener is no function
   */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    expectFunction(listener, 'listener')
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    if (!listeners.has(listener)) this.#count++
    listeners.add(listener)
    return () => {
      if (listeners.delete(listener)) this.#count--
    }
  }

  /** Whether the event has listeners. If not, the event's object need not be created. */
  hears(name: keyof Events): boolean {
    return this.#count > 0 && (this.#listeners.get(name)?.size ?? 0) > 0
  }

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    const listeners = this.#listeners.get(name)
    if (listeners === undefined) return
    // A copy: a listener that is added meanwhile waits for the next event. Otherwise one that adds itself again would never end.
    for (const listener of [...listeners]) {
      if (!listeners.has(listener)) continue
      notify(listener as (event: Events[Name]) => unknown, event, this.#onError)
    }
  }

  clear(): void {
    for (const listeners of this.#listeners.values()) listeners.clear()
    this.#count = 0
  }
}
