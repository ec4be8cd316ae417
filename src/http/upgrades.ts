import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { PerformanceMonitor } from '../monitor/monitor.ts'
import { unmatched } from './labels.ts'

/** A server of Node's, HTTP or HTTPS. */
export interface UpgradingServer {
  prependListener(event: 'upgrade', listener: (request: IncomingMessage, socket: Duplex) => void): unknown
}

/**
 * Counts WebSockets, whose requests Node hands to the server's event `upgrade` and not to Express: as upgrades when they are
 * accepted, with their status when they are refused. Packages that bring them to Express, as express-ws does, need nothing
 * but `monitorRequests`.
 *
 * @param route - what the connections are counted under, the same for all or by request; `undefined` for a path that nobody
 *   serves
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
  // Before the listener that accepts, which may do so at once.
  server.prependListener('upgrade', (request, socket) => {
    const [path] = (request.url as string).split('?', 1) as [string]
    const method = request.method as string
    if (monitor.ignores(method, path)) return
    const startedAt = monitor.start()
    const sentStatus = watchStatus(socket)
    socket.on('close', () => {
      const status = sentStatus() ?? 499
      const outcome = status === 101 ? 'upgrade' : status === 499 ? 'aborted' : 'completed'
      const label = typeof route === 'string' ? route : (route(request) ?? unmatched)
      monitor.record(method, label, status, startedAt, outcome)
    })
  })
}

/** Reads the status off the first bytes that are sent: the head of the answer is written by hand. */
function watchStatus(socket: Duplex): () => number | undefined {
  const { write, end } = socket
  let status: number | undefined
  const watched = (send: (...data: never[]) => unknown) =>
    function (this: Duplex, ...data: unknown[]) {
      Object.assign(socket, { write, end })
      const code = /^HTTP\/1\.1 (\d{3}) /.exec(String(data[0]))?.[1]
      if (code !== undefined) status = Number(code)
      return Reflect.apply(send, this, data)
    }
  Object.assign(socket, { write: watched(write), end: watched(end) })
  return () => status
}
