import { randomBytes } from 'node:crypto'
import type { pagePolicy, renderPage } from '../dashboard/page.ts'
import type { StatsDocument, StatsQuery } from '../monitor/types.ts'
import type { Warning } from '../shared/warnings.ts'
import { answer, type HttpAnswer, type HttpRequest, problem } from './answer.ts'
import { LiveFeed } from './live.ts'
import { toWire, wireText } from './wire.ts'

/** The module of the live page; an adapter hands in what imports it, so that it is loaded only where it is looked at. */
export type LoadPage = () => Promise<{ readonly renderPage: typeof renderPage; readonly pagePolicy: typeof pagePolicy }>

interface DashboardSource {
  snapshotInTurns(query?: StatsQuery): Promise<StatsDocument>
  fleetSnapshot(query?: StatsQuery): Promise<StatsDocument>
  warn(warning: Warning): void
}

type Handler = (request: HttpRequest) => Promise<HttpAnswer>
type Scope = StatsDocument['scope']

/** Pages that may be live at once. */
const maxClients = 10
/** The endpoints that took most time, of very many. */
const maxEndpoints = 200

const streamHeaders = {
  // `no-transform` keeps compressing middlewares away, which would hold the events back; the other header does so for nginx.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}

/** The live page and its stream of server-sent events, both by `scope`. */
export function createDashboard(monitor: DashboardSource, loadPage: LoadPage): Record<'page' | 'stream', Handler> {
  const read = (scope: Scope) =>
    scope === 'fleet'
      ? monitor.fleetSnapshot({ limit: maxEndpoints })
      : monitor.snapshotInTurns({ limit: maxEndpoints })
  const feedOf = (scope: Scope) =>
    new LiveFeed({
      // The wire form has no line breaks, so it is one line of one event.
      render: async () => `retry: 500\ndata: ${await wireText(await read(scope), 'snake')}\n\n`,
      onError: (error) =>
        monitor.warn({
          code: 'DASHBOARD_STREAM',
          message: `The live page could not be updated: ${error instanceof Error ? error.message : String(error)}`,
        }),
      intervalMs: 1_000,
      lifetimeMs: 30_000,
    })
  const feeds = { instance: feedOf('instance'), fleet: feedOf('fleet') }

  return {
    page: scoped(async ({ query }, scope) => {
      const { renderPage, pagePolicy } = await loadPage()
      const nonce = randomBytes(16).toString('base64')
      const document = toWire(await read(scope), 'snake') as Parameters<typeof renderPage>[0]
      return answer(200, 'text/html; charset=utf-8', renderPage(document, { query, nonce }), {
        'content-security-policy': pagePolicy(nonce),
        'referrer-policy': 'no-referrer',
      })
    }),
    stream: scoped(async ({ method, socket }, scope) => {
      if (feeds.instance.clients + feeds.fleet.clients >= maxClients) {
        return problem(503, `Only ${maxClients} pages can be live at once`, { 'retry-after': '5' })
      }
      const body = method === 'HEAD' ? '' : feeds[scope].follow(() => isClosing(socket))
      return answer(200, 'text/event-stream; charset=utf-8', body, streamHeaders)
    }),
  }
}

function scoped(handle: (request: HttpRequest, scope: Scope) => Promise<HttpAnswer>): Handler {
  return async (request) => {
    const scope = request.query.get('scope') ?? 'instance'
    if (scope === 'instance' || scope === 'fleet') return handle(request, scope)
    return problem(400, '`scope` must be one of instance, fleet')
  }
}

/**
 * Whether the server of a connection takes no new ones: a stream that goes on would hold it open. Node sets `server` on the
 * sockets of its servers; elsewhere a stream ends by its lifetime.
 */
function isClosing(socket: object | undefined): boolean {
  const { server } = (socket ?? {}) as { readonly server?: { readonly listening?: boolean } | null }
  return server?.listening === false
}
