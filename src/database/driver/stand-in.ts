import type { DatabaseConnection } from 'kysely'

/** What Kysely gets instead of a connection. It takes a real one only when it needs one. */
export abstract class StandIn {
  abstract takeReal(): Promise<DatabaseConnection>
}

/** The connection that a dialect's driver knows. */
export function realConnection(connection: DatabaseConnection): DatabaseConnection | Promise<DatabaseConnection> {
  return connection instanceof StandIn ? connection.takeReal().then(realConnection) : connection
}
