import type { EventEmitter } from 'node:events'
import type { CancellablePgClient } from './postgres-control.ts'

interface Client extends EventEmitter {
  query(...values: unknown[]): unknown
}

/**
 * Makes streams fail when their connection of `mysql2` is lost. `mysql2` tells only callbacks, so readers of streams
 * would wait for ever.
 */
export function failLostStreams(given: object): void {
  const connection = given as Client
  watchQueries(connection, (values) => {
    if (typeof values.at(-1) === 'function') return undefined
    let query: EventEmitter | undefined
    const fail = (error: unknown) => {
      // If the connection was lost before, the error comes while the query is sent, when there is no stream yet.
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

/**
 * Makes cursors end when their connection of `pg` is lost. `pg-cursor` would wait for the server before it closes. It
 * would also never settle a read if the connection is lost right after the last row.
 */
export function endLostCursors(given: object): void {
  const client = given as Client & CancellablePgClient
  watchQueries(client, ([first]) => {
    const { read, close } = Object(first) as Partial<Cursor>
    if (read === undefined || close === undefined) return undefined
    const cursor = first as Cursor
    const untilLost = (running: Promise<unknown> | undefined, isRead: boolean) => {
      if (running === undefined) return undefined
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      const end = () => (isRead ? reject(new Error('Connection terminated unexpectedly')) : resolve(undefined))
      client.once('end', end)
      running.then(resolve, reject)
      return promise.finally(() => client.off('end', end))
    }
    cursor.read = (...values) => untilLost(read.apply(cursor, values), true)
    cursor.close = (...values) =>
      client.connection?.stream?.destroyed && values.length === 0
        ? Promise.resolve()
        : untilLost(close.apply(cursor, values), false)
    return undefined
  })
}

/** The part of a cursor of `pg-cursor` that we use. With a callback, its methods return nothing. */
interface Cursor {
  read(...values: unknown[]): Promise<unknown> | undefined
  close(...values: unknown[]): Promise<unknown> | undefined
}

/** @param watch - called before a query is sent; the function that it returns is called after that */
function watchQueries(client: Client, watch: (values: unknown[]) => ((sent: unknown) => void) | undefined): void {
  const own = Object.hasOwn(client, 'query') ? client.query : undefined
  client.query = (...values) => {
    const onSent = watch(values)
    // The method of the class is looked up each time, because it may be replaced.
    const sent = (own ?? (Object.getPrototypeOf(client) as Client).query).apply(client, values)
    onSent?.(sent)
    return sent
  }
}
