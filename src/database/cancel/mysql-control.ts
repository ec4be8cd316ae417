import { loadPeer } from '../../shared/peers.ts'
import type { ConnectionControl } from './connection-control.ts'

/** The part of a connection of `mysql2` that ends its queries from outside. */
export interface CancellableMysqlConnection {
  readonly threadId: number
  readonly config: Readonly<Record<string, unknown>>
  query(sql: string, callback: (error: unknown, rows?: unknown) => void): unknown
}

/**
 * Cancels by `KILL QUERY` over another connection, if it reaches the same server, and only if the connection's thread is the
 * server's: a proxy such as ProxySQL numbers its own, and the server's thread of that number is another client's.
 *
 * Call it before the connection's first query: it asks for the thread, once per connection.
 *
 * @param destroy - closes the socket
 */
export function mysqlControl(connection: CancellableMysqlConnection, destroy: () => void): ConnectionControl {
  const known = controls.get(connection)
  if (known !== undefined) return known
  // Answered before the next query of the connection: `mysql2` sends one after another.
  const session = sessionOf(connection)
  session.catch(() => {})
  const cancel = async (isWanted: () => boolean) => kill(await session, connection, isWanted)
  const control = { cancel, destroy }
  controls.set(connection, control)
  return control
}

const controls = new WeakMap<object, ConnectionControl>()

interface Session {
  readonly id: number
  readonly server: string
}

// Together with other columns, because proxies answer a lone `connection_id()` themselves.
const sessionSql = "select connection_id() as id, concat_ws(':', @@hostname, @@port, @@datadir) as server"

async function sessionOf(connection: Pick<CancellableMysqlConnection, 'query'>): Promise<Session> {
  const [session] = await rowsOf<Session>(connection, sessionSql)
  if (session === undefined) throw new Error('The server does not tell its session')
  return { id: Number(session.id), server: session.server }
}

async function kill(
  { id, server }: Session,
  { threadId, config }: CancellableMysqlConnection,
  isWanted: () => boolean,
): Promise<void> {
  if (id !== threadId) throw new Error('A proxy stands between: the thread of the query is not known')
  const { createConnection } = await loadPeer<Mysql2Module>('mysql2', 'Cancelling a query', 'npm i mysql2')
  const { host, port, user, password, socketPath, ssl } = config
  const control = createConnection({ host, port, user, password, socketPath, ssl })
  control.on('error', () => {})
  try {
    const reached = await sessionOf(control)
    if (reached.server !== server) throw new Error('The address leads to several servers')
    if (isWanted()) await rowsOf(control, `kill query ${id}`)
  } finally {
    control.destroy()
  }
}

interface Mysql2Module {
  createConnection(options: object): Pick<CancellableMysqlConnection, 'query'> & {
    on(event: 'error', listener: () => void): void
    destroy(): void
  }
}

function rowsOf<Row>(connection: Pick<CancellableMysqlConnection, 'query'>, sql: string): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    connection.query(sql, (error, rows) => (error ? reject(error) : resolve(rows as Row[])))
  })
}
