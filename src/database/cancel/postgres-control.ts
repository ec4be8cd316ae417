import { withDeadline } from '../../shared/time/waiting.ts'
import type { ConnectionControl } from './connection-control.ts'

/** The part of a client of `pg` that ends its queries from outside. */
export interface CancellablePgClient {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly ssl?: unknown
  /**
   * The process id of the session in the protocol. A pooler sends an id of its own, and knows which session of the server
   * it means.
   */
  readonly processID?: number | null
  readonly secretKey?: number | null
  /** `undefined` in clients of `pg-native`. */
  readonly connection?: PgConnection
  on(event: 'error', listener: () => void): unknown
}

/** `Connection` of `pg`: one socket that speaks the protocol. */
interface PgConnection {
  readonly stream?: { readonly remoteAddress?: string | undefined; readonly destroyed?: boolean; destroy(): void }
  readonly sslNegotiation?: string
  connect(port: number | string, host?: string): void
  requestSsl(): void
  cancel(processID: number, secretKey: number): void
  on(event: 'connect' | 'sslconnect' | 'end', listener: () => void): unknown
  on(event: 'error', listener: (error: unknown) => void): unknown
  on(event: 'errorMessage', listener: (error: { readonly code?: string }) => void): unknown
}

type ConnectionClass = new (options: object) => PgConnection

const requestMs = 5_000

/**
 * Cancels by the request of the protocol: a new connection sends the session's process id and secret key. This works
 * behind a pooler, where `pg_cancel_backend` would hit the session of another client, or none.
 *
 * @param stream - makes the socket, if the pool has its own option for that
 * @see PostgreSQL, "Canceling Requests in Progress"
 */
export function postgresControl(client: CancellablePgClient, stream?: unknown): ConnectionControl {
  return {
    cancel: (isWanted) => requestCancellation(client, isWanted, stream),
    destroy() {
      // While a client is in use, nobody listens for its errors, and an error without a listener would end the process.
      client.on('error', () => {})
      client.connection?.stream?.destroy()
    },
  }
}

async function requestCancellation(
  { host = '', port = 5432, ssl, processID, secretKey, connection }: CancellablePgClient,
  isWanted: () => boolean,
  stream: unknown,
): Promise<void> {
  if (connection === undefined || processID == null || secretKey == null) {
    throw new Error('The server has sent no key to cancel its queries with')
  }
  const isDirect = connection.sslNegotiation === 'direct'
  // The class of the user's own `pg`.
  const Connection = connection.constructor as ConnectionClass
  const request = new Connection({ ssl, sslNegotiation: connection.sslNegotiation, stream })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let isSent = false
  const send = () => {
    if (!isWanted()) return resolve()
    isSent = true
    request.cancel(processID, secretKey)
  }
  const start = ssl ? () => isDirect || request.requestSsl() : send
  request.on('connect', start)
  request.on('sslconnect', send)
  // The server answers by closing the connection, once it has passed the request on.
  request.on('end', resolve)
  request.on('error', (error) => (isSent ? resolve() : reject(error)))
  if (host.startsWith('/')) request.connect(`${host}/.s.PGSQL.${port}`)
  // The host name may stand for several servers, and only one knows the key: so connect to its address. TLS needs the
  // name for the certificate.
  else request.connect(port, ssl ? host : (connection.stream?.remoteAddress ?? host))
  try {
    await withDeadline(promise, requestMs, () => Promise.reject(new Error('The server did not answer in time')))
  } finally {
    request.stream?.destroy()
  }
}
