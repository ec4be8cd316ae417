import type { EventEmitter } from 'node:events'

/** Lets streams fail when their connection of `mysql2` is lost. It tells callbacks alone, so readers of streams would wait for ever. */
export function failLostStreams(given: object): void {
  const connection = given as EventEmitter & { query(...values: unknown[]): EventEmitter }
  const query = connection.query.bind(connection)
  connection.query = (...values) => {
    if (typeof values.at(-1) === 'function') return query(...values)
    let command: EventEmitter | undefined
    const fail = (error: unknown) => {
      // A connection that was lost before says so while the query is sent, which has no stream yet.
      queueMicrotask(() => {
        if (command?.listenerCount('error')) command.emit('error', error)
      })
    }
    connection.on('error', fail)
    command = query(...values)
    return command.once('end', () => connection.off('error', fail))
  }
}
