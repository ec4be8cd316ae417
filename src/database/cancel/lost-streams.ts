import type { EventEmitter } from 'node:events'
import type { CancellablePgClient } from './postgres-control.ts'

interface Client extends EventEmitter {
  query(...values: unknown[]): unknown
}

/** Lets streams fail when their connection of `mysql2` is lost. It tells callbacks alone, so readers of streams would wait for ever. */
export function failLostStreams(given: object): void {
  const connection = given as Client
  watchQueries(connection, (values) => {
    if (typeof values.at(-1) === 'function') return undefined
    let query: EventEmitter | undefined
    const fail = (error: unknown) => {
      // A connection that was lost before says so while the query is sent, which has no stream yet.
      queueMicrotask(() => {
        if (query?.listenerCount('error')) query.emit('error', error)
      })
    }
    connection.on('error', fail)
    return (sent) => {
      query = (sent as EventEmitter | undefined)?.once('end', () => connection.off('error', fail))
    }
  })
}

/** Lets cursors close when their connection of `pg` is lost. `pg-cursor` would wait for the server, and Kysely for the cursor. */
export function closeLostCursors(given: object): void {
  const client = given as Client & CancellablePgClient
  watchQueries(client, ([first]) => {
    const cursor = first as { close?: (callback?: unknown) => Promise<void> } | undefined
    const close = cursor?.close?.bind(cursor)
    if (cursor === undefined || close === undefined) return undefined
    cursor.close = (callback) => {
      if (callback !== undefined) return close(callback)
      if (client.connection?.stream?.destroyed) return Promise.resolve()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      client.once('end', resolve)
      close().then(resolve, reject)
      return promise.finally(() => client.off('end', resolve))
    }
    return undefined
  })
}

/** @param watch - called before a query is sent; what it returns is called after that. */
function watchQueries(client: Client, watch: (values: unknown[]) => ((sent: unknown) => void) | undefined): void {
  const own = Object.hasOwn(client, 'query') ? client.query : undefined
  client.query = (...values) => {
    const onSent = watch(values)
    // The method of the class may be replaced at any time.
    const sent = (own ?? (Object.getPrototypeOf(client) as Client).query).apply(client, values)
    onSent?.(sent)
    return sent
  }
}
