/** Something that went wrong without failing a call. */
export interface CacheErrorEvent {
  /** What was being done. */
  readonly operation: 'read' | 'write' | 'invalidate' | 'decode' | 'encode' | 'load' | 'connection'
  readonly error: unknown
  /** The encoded key, where the error belongs to one. */
  readonly key?: string | undefined
}

/** The store's state: `off` without one, `degraded` when it answers but this process does not hear of invalidations. */
export type StoreState = 'off' | 'up' | 'degraded' | 'down'

/** What was made outdated, by this process or by another. */
export interface InvalidateEvent {
  readonly origin: 'local' | 'remote'
  readonly tags: readonly string[]
  /** Encoded keys. */
  readonly keys: readonly string[]
  /** Whether everything was made outdated: by `clear()`, or because messages were missed. */
  readonly all: boolean
}

/** The events of a cache and what their listeners get. */
export interface CacheEvents {
  readonly error: CacheErrorEvent
  readonly state: { readonly state: StoreState }
  readonly invalidate: InvalidateEvent
}

/** Listeners by event. One that throws harms nobody else: its error surfaces as an uncaught exception, as a timer's would. */
export class Events {
  readonly #listeners = new Map<keyof CacheEvents, Set<(payload: never) => void>>()

  on<Name extends keyof CacheEvents>(name: Name, listener: (payload: CacheEvents[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, listeners)
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }

  emit<Name extends keyof CacheEvents>(name: Name, payload: CacheEvents[Name]): void {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        ;(listener as (payload: CacheEvents[Name]) => void)(payload)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
