import { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import { markBackground } from '../background-request.ts'
import { backgroundHeaders, isHiddenFromHandler } from './node-request.ts'

/** What handlers read of a connection: the addresses, and what TLS knows of the client. */
const connectionFields = [
  ...['remoteAddress', 'remotePort', 'remoteFamily', 'localAddress', 'localPort', 'localFamily'],
  ...['encrypted', 'authorized', 'authorizationError', 'alpnProtocol', 'servername', 'server'],
]

/**
 * A copy of a request that has its answer already, of the same client over the same protocol, with a response of its own.
 * Destroying the copy, as the last handler of Express does after an error, leaves the client's connection alone.
 */
export function detachedExchange(
  original: IncomingMessage,
  url: string,
): { request: IncomingMessage; response: ServerResponse; close: () => void } {
  const socket = new Socket()
  for (const name of connectionFields) {
    const value = (original.socket as unknown as Record<string, unknown>)[name]
    if (value !== undefined) Object.defineProperty(socket, name, { value, configurable: true })
  }
  // Without a listener, an error would be thrown.
  socket.on('error', () => {})
  const request = new IncomingMessage(socket)
  const { httpVersion, httpVersionMajor, httpVersionMinor, rawHeaders } = original
  const kept = rawHeaders.filter((_, index) => !isHiddenFromHandler(rawHeaders[index - (index % 2)] as string))
  Object.assign(request, { method: 'GET', url, httpVersion, httpVersionMajor, httpVersionMinor, complete: true })
  Object.assign(request, { headers: backgroundHeaders(original.headers), rawHeaders: kept })
  request.push(null)
  markBackground(request)
  const response = new ServerResponse(request)
  // For handlers that use `response.socket`. `assignSocket` would also send the answer to it.
  Object.assign(response, { socket })
  // Node emits `close` once. With a second one, the end of this request would be counted twice.
  let isClosed = false
  const close = () => {
    if (!isClosed) response.emit('close')
    isClosed = true
  }
  socket.on('close', close)
  const destroy = response.destroy.bind(response)
  response.destroy = (error) => {
    destroy(error)
    socket.destroy()
    return response
  }
  return { request, response, close }
}
