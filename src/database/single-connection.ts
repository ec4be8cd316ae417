import type { DialectAdapter } from 'kysely'

const adapters = new WeakSet<DialectAdapter>()

/**
 * Takes the queue for the one connection of SQLite and PGlite over from Kysely 0.29: its own costs twice what watching a
 * query does, our EXPLAIN would not stand in it, and once a driver refuses a connection nobody behind gets one.
 *
 * @returns whether there is one connection for all; Kysely 0.28 leaves its queue to the driver, and so do we
 */
export function takeOverQueue(adapter: DialectAdapter & { readonly supportsMultipleConnections?: boolean }): boolean {
  if (adapter.supportsMultipleConnections === false) {
    adapters.add(adapter)
    Reflect.defineProperty(adapter, 'supportsMultipleConnections', { value: true })
  }
  return adapters.has(adapter)
}
