import { subscribe } from 'node:diagnostics_channel'
import { performance } from 'node:perf_hooks'
import { wait } from './wait-names.ts'
import { holdLoop, type Waits } from './waits.ts'

interface UndiciRequest {
  readonly method?: unknown
  readonly upgrade?: unknown
}

/** Running requests of `fetch`, by undici's request object. */
type OpenFetches = WeakMap<object, Waits>

/**
 * Counts the time of each `fetch`, from its request to the end of its answer, as a wait of the request that calls it.
 *
 * @see https://github.com/nodejs/undici/blob/main/docs/docs/api/DiagnosticsChannel.md
 */
export function watchUpstream(currentWaits: () => Waits | undefined): void {
  const open: OpenFetches = new WeakMap()
  const end = (message: unknown) => {
    const { request } = message as { readonly request: object }
    const waits = open.get(request)
    if (waits === undefined) return
    open.delete(request)
    const now = performance.now()
    waits.end(wait.upstream, now)
    holdLoop(waits, now)
  }
  subscribe('undici:request:create', (message) => {
    const waits = currentWaits()
    const { request } = message as { readonly request: UndiciRequest }
    // No event tells the end of these two: they become a connection, of a WebSocket or through a proxy.
    if (waits === undefined || request.upgrade || request.method === 'CONNECT') return
    open.set(request, waits)
    waits.begin(wait.upstream, performance.now())
  })
  subscribe('undici:request:trailers', end)
  subscribe('undici:request:error', end)
}
