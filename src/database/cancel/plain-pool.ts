import { loadPeerIfInstalled } from '../../shared/platform/peers.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { ConnectionControl } from './connection-control.ts'
import { endLostCursors, failLostStreams } from './lost-streams.ts'
import { type CancellableMysqlConnection, mysqlControl } from './mysql-control.ts'
import { type CancellablePgClient, postgresControl } from './postgres-control.ts'

/**
 * Finds the control of a connection from a pool that is not tuned. Kysely's drivers keep the client of `pg` or `mysql2`
 * private. But they call the client's `query` synchronously, so we replace `query` on the prototype for that moment.
 *
 * @param run - runs a harmless statement on the connection
 * @returns `undefined` for other drivers, and for another copy of `pg` or `mysql2` than ours
 */
export async function controlOfPlainPool(
  dialect: SqlDialect,
  run: () => Promise<unknown>,
): Promise<ConnectionControl | undefined> {
  if (dialect === 'postgres') {
    const pg = await loadPeerIfInstalled<{ readonly default: { readonly Client: HasQuery } }>('pg')
    const client = await clientThatRuns<CancellablePgClient>(pg?.default.Client.prototype, run)
    if (client?.connection === undefined) return undefined
    endLostCursors(client)
    return postgresControl(client)
  }
  if (dialect !== 'mysql') return undefined
  const mysql = await loadPeerIfInstalled<{ readonly Connection?: HasQuery }>('mysql2')
  const prototype = mysql?.Connection?.prototype
  const connection = await clientThatRuns<CancellableMysqlConnection>(prototype, run)
  if (connection === undefined) return undefined
  failLostStreams(connection)
  return mysqlControl(connection)
}

/** A class whose method is replaced for a moment. */
interface HasQuery {
  readonly prototype: { query?: unknown }
}

async function clientThatRuns<Client>(
  prototype: HasQuery['prototype'] | undefined,
  run: () => Promise<unknown>,
): Promise<Client | undefined> {
  if (prototype === undefined) return undefined
  const own = Object.getOwnPropertyDescriptor(prototype, 'query')
  const original = prototype.query as (...values: unknown[]) => unknown
  let client: Client | undefined
  prototype.query = function (this: Client, ...values: unknown[]) {
    client ??= this
    return original.apply(this, values)
  }
  let running: Promise<unknown>
  try {
    running = run()
  } finally {
    if (own === undefined) delete prototype.query
    else Object.defineProperty(prototype, 'query', own)
  }
  await running
  return client
}
