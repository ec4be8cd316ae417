import pg from 'pg'
import { type Server, startPostgres } from '../../support/servers.ts'

/** A PostgreSQL to kill, started and past the state in which it listens but turns everybody away. */
export async function startOwnPostgres(): Promise<Server> {
  const server = (await startPostgres()) as Server
  for (;;) {
    const client = new pg.Client(server.url)
    client.on('error', () => {})
    try {
      await client.connect()
      return server
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 25))
    } finally {
      await client.end()
    }
  }
}
