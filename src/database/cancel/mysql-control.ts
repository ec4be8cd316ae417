import { loadPeer } from '../../shared/platform/peers.ts'
import { withDeadline } from '../../shared/time/waiting.ts'
import type { ConnectionControl } from './connection-control.ts'

/** The part of a connection of `mysql2` that ends its queries from outside. */
export interface CancellableMysqlConnection {
  readonly threadId: number
  readonly config: Readonly<Record<string, unknown>>
  readonly stream: { destroy(): void }
  query(sql: string, callback: (error: unknown, rows?: unknown) => void): unknown
}

/**
 * Cancels by `KILL QUERY` over another connection, if that reaches the same server and the connection's thread number is
 * the server's. A proxy such as ProxySQL uses its own numbers: on the server, the thread of that number is another
 * client's.
 *
 * Call it before the connection's first query: it asks for the thread, once per connection.
 */
export function mysqlControl(connection: CancellableMysqlConnection): ConnectionControl {
  const known = controls.get(connection)
  if (known !== undefined) return known
  // The server answers this before the next query, because `mysql2` sends one query after another.
  const session = sessionOf(connection)
  session.catch(() => {})
  const cancel = async (isWanted: () => boolean) => kill(await session, connection, isWanted)
  // `connection.destroy()` would leave the query waiting for the server's answer, perhaps for ever.
  const destroy = () => connection.stream.destroy()
  const control = { cancel, destroy }
  controls.set(connection, control)
  return control
}

const controls = new WeakMap<object, ConnectionControl>()

interface Session {
  readonly id: number
  readonly server: string
}

// Other columns are selected too, because proxies answer a lone `connection_id()` themselves.
const sessionSql = "select connection_id() as id, concat_ws(':', @@hostname, @@port, @@datadir) as server"

async function sessionOf(connection: Pick<CancellableMysqlConnection, 'query'>): Promise<Session> {
  const [session] = await rowsOf<Session>(connection, sessionSql)
  if (session === undefined) throw new Error('The server does not tell its session')
  return { id: Number(session.id), server: session.server }
}

function kill(
  { id, server }: Session,
  { threadId, config }: CancellableMysqlConnection,
  isWanted: () => boolean,
): Promise<void> {
  if (id !== threadId) throw new Error('A proxy stands between: the thread of the query is not known')
  const { host, port, user, socketPath } = config
  const key = JSON.stringify([server, host, port, user, socketPath])
  const open = () => openControl(server, addressIn(config))
  let killer = killers.get(key)
  if (killer === undefined) {
    killer = new Killer(open, () => killers.delete(key))
    killers.set(key, killer)
  }
  return killer.kill(id, isWanted)
}

/** The options for connecting again in the same way: through the user's tunnel, with the user's way to log in. */
function addressIn(config: CancellableMysqlConnection['config']): object {
  const known = addressOptions.flatMap((option) => (config[option] === undefined ? [] : [[option, config[option]]]))
  // A `stream` that is not a function is the socket of this connection itself.
  const { stream } = config
  return Object.fromEntries(typeof stream === 'function' ? [...known, ['stream', stream]] : known)
}

const addressOptions = [
  'host',
  'port',
  'localAddress',
  'socketPath',
  'ssl',
  'user',
  'password',
  'password2',
  'password3',
  'passwordSha1',
  'authPlugins',
  'authSwitchHandler',
  'enableCleartextPlugin',
  'insecureAuth',
]

const killers = new Map<string, Killer>()

/**
 * Sends the requests to one server one after another, over one connection. So if many clients leave at once, they do not
 * take the connections that others need. MariaDB is also slow with several requests at once: the threads that it wakes
 * may lock each other out for two seconds.
 */
class Killer {
  readonly #open: () => Promise<Control>
  readonly #onIdle: () => void
  #control: Promise<Control> | undefined
  #last: Promise<void> = Promise.resolve()
  #waiting = 0

  constructor(open: () => Promise<Control>, onIdle: () => void) {
    this.#open = open
    this.#onIdle = onIdle
  }

  async kill(id: number, isWanted: () => boolean): Promise<void> {
    this.#waiting += 1
    const sent = this.#last.then(() => withDeadline(this.#send(id, isWanted), requestMs, tooLate))
    this.#last = sent.catch(() => this.#close())
    try {
      await sent
    } finally {
      this.#waiting -= 1
      if (this.#waiting === 0) {
        this.#onIdle()
        this.#close()
      }
    }
  }

  async #send(id: number, isWanted: () => boolean): Promise<void> {
    this.#control ??= this.#open()
    const control = await this.#control
    if (isWanted()) await rowsOf(control, `kill query ${id}`)
  }

  #close(): void {
    this.#control?.then(
      (control) => control.destroy(),
      () => {},
    )
    this.#control = undefined
  }
}

const requestMs = 5_000

function tooLate(): never {
  throw new Error('The server did not answer in time')
}

async function openControl(server: string, address: object): Promise<Control> {
  const { createConnection } = await loadPeer<Mysql2Module>('mysql2', 'Cancelling a query', 'npm i mysql2')
  const control = createConnection(address)
  control.on('error', () => {})
  try {
    const reached = await sessionOf(control)
    if (reached.server !== server) throw new Error('The address leads to several servers')
    return control
  } catch (error) {
    control.destroy()
    throw error
  }
}

interface Mysql2Module {
  createConnection(options: object): Control
}

interface Control extends Pick<CancellableMysqlConnection, 'query'> {
  on(event: 'error', listener: () => void): void
  destroy(): void
}

function rowsOf<Row>(connection: Pick<CancellableMysqlConnection, 'query'>, sql: string): Promise<readonly Row[]> {
  return new Promise((resolve, reject) => {
    connection.query(sql, (error, rows) => (error ? reject(error) : resolve(rows as Row[])))
  })
}
