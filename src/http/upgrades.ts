import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { PerformanceMonitor } from '../monitor/monitor.ts'
import { expectObject, expectText } from '../shared/arguments.ts'
import { expectMonitor } from './expect-call.ts'
import { labelOption, routeLabel, unmatched } from './measure-request.ts'

/** Node's HTTP or HTTPS server. */
export interface UpgradingServer {
  on(event: 'newListener' | 'removeListener', listener: (event: string | symbol) => void): unknown
  prependListener(event: 'upgrade', listener: UpgradeListener): unknown
  removeListener(event: 'upgrade', listener: UpgradeListener): unknown
  listenerCount(event: 'upgrade'): number
}

type UpgradeListener = (request: IncomingMessage, socket: Duplex) => void

/**
 * Counts WebSocket requests, which Node gives to the server's event `upgrade` and not to Express. An accepted one counts as an
 * upgrade, a refused one with its status. With a package that routes them through Express, such as `express-ws`,
 * `monitorRequests` is enough.
 *
 * @param route - the label of all connections, or a function that returns the label of a request, `undefined` for a path that
 *   has no WebSocket
 *
 * @example
 * ```ts
 * monitorUpgrades(monitor, server, '/chat/:room')
 * ```
 */
export function monitorUpgrades(
  monitor: PerformanceMonitor,
  server: UpgradingServer,
  route: string | ((request: IncomingMessage) => string | undefined),
): void {
  expectMonitor(monitor)
  const methods = ['on', 'prependListener', 'removeListener', 'listenerCount']
  expectObject(server, 'server', methods, "a server of 'node:http'")
  if (typeof route !== 'function') expectText(route, 'route')
  const labelOf = labelOption(typeof route === 'string' ? () => route : route, () => unmatched)
  listenBesideOthers(server, (request, socket) => {
    const [path] = (request.url as string).split('?', 1) as [string]
    const method = request.method as string
    if (monitor.ignores(method, path)) return
    // Counts as long-lived from the start: how long the application takes to accept it cannot be measured.
    const startedAt = monitor.start({ original: request, method, route: null, isLongLived: true })
    const sentStatus = watchStatus(socket)
    socket.on('close', () => {
      const status = sentStatus() ?? 499
      const outcome = status === 101 ? 'upgrade' : status === 499 ? 'aborted' : 'completed'
      monitor.record(method, routeLabel(monitor, request, labelOf, status), status, startedAt, outcome)
    })
  })
}

/** Listens only while others do: without any listener, Node answers an upgrade as an ordinary request. */
function listenBesideOthers(server: UpgradingServer, listener: UpgradeListener): void {
  let isListening = false
  const begin = () => {
    isListening = true
    // In front of the application's listener, which may accept the socket at once.
    server.prependListener('upgrade', listener)
  }
  server.on('newListener', (event) => {
    if (event === 'upgrade' && !isListening) begin()
  })
  server.on('removeListener', (event) => {
    if (event !== 'upgrade' || !isListening || server.listenerCount('upgrade') > 1) return
    isListening = false
    server.removeListener('upgrade', listener)
  })
  if (server.listenerCount('upgrade') > 0) begin()
}

/** Reads the status from the first bytes that are sent: the application writes the head of the answer itself. */
function watchStatus(socket: Duplex): () => number | undefined {
  const { write, end } = socket
  let status: number | undefined
  const watched = (send: (...data: never[]) => unknown) =>
    function (this: Duplex, ...data: unknown[]) {
      Object.assign(socket, { write, end })
      const [head] = data
      const text = String(head instanceof Uint8Array ? Buffer.from(head) : head)
      const code = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1]
      if (code !== undefined) status = Number(code)
      return Reflect.apply(send, this, data)
    }
  Object.assign(socket, { write: watched(write), end: watched(end) })
  return () => status
}
