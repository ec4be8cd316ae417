/** Listeners by event. One that throws hurts neither the others nor who emits. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>()
  /** How many listeners there are, so that asking costs nothing while there are none. */
  #count = 0
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  /** Adds a listener and returns what removes it. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    if (!listeners.has(listener)) this.#count++
    listeners.add(listener)
    return () => {
      if (listeners.delete(listener)) this.#count--
    }
  }

  /** Whether anybody listens: an event that nobody hears need not be made. */
  hears(name: keyof Events): boolean {
    return this.#count > 0 && (this.#listeners.get(name)?.size ?? 0) > 0
  }

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        ;(listener as (event: Events[Name]) => void)(event)
      } catch (error) {
        this.#onError(error)
      }
    }
  }

  clear(): void {
    for (const listeners of this.#listeners.values()) listeners.clear()
    this.#count = 0
  }
}
