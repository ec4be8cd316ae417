import type { DialectAdapter } from 'kysely'

/** Hands the single connection of SQLite and PGlite to one caller at a time, in the order of their requests. */
export class ConnectionMutex {
  #isLocked = false
  readonly #waiting: (() => void)[] = []

  /** Resolves once the caller has the lock; returns `undefined` when the caller has it at once. */
  lock(): Promise<void> | undefined {
    if (this.#isLocked) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#isLocked = true
    return undefined
  }

  unlock(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#isLocked = false
    else next()
  }
}

const singleConnectionAdapters = new WeakSet<DialectAdapter>()

/**
 * Turns off the mutex that Kysely 0.29 puts around a single connection, so that {@link ConnectionMutex} replaces it.
 * Kysely's mutex costs twice as much as observing a query, and our EXPLAIN would bypass it. If a driver refuses a
 * connection, it makes every later caller wait for ever.
 *
 * @returns whether the dialect has a single connection. Always false on Kysely 0.28, where the driver itself queues
 *   callers.
 */
export function replaceKyselyMutex(
  adapter: DialectAdapter & { readonly supportsMultipleConnections?: boolean },
): boolean {
  if (adapter.supportsMultipleConnections === false) {
    singleConnectionAdapters.add(adapter)
    Reflect.defineProperty(adapter, 'supportsMultipleConnections', { value: true })
  }
  return singleConnectionAdapters.has(adapter)
}
