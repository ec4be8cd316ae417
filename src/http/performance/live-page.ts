import type { PageDocument } from '../../dashboard/document.ts'
import type { pagePolicy, parseView, renderPage, selectRows } from '../../dashboard/page.ts'
import type { StatsDocument, StatsQuery } from '../../monitor/types.ts'
import { messageOf } from '../../shared/errors.ts'
import { nodeCrypto } from '../../shared/platform/builtins.ts'
import type { OnWarn, Warning } from '../../shared/warnings.ts'
import { answer, type HttpAnswer, type HttpRequest, problem } from '../answer.ts'
import { LiveFeed } from './live-feed.ts'
import { toWireInTurns, writeWire } from './serialize-stats.ts'

/** The module of the live page. */
interface Page {
  readonly renderPage: typeof renderPage
  readonly pagePolicy: typeof pagePolicy
  readonly parseView: typeof parseView
  readonly selectRows: typeof selectRows
}

/** Imports the module of the live page, when somebody first looks at the page. Adapters pass it in: `http/` imports no feature. */
export type LoadPage = () => Promise<Page>

interface LivePageSource {
  snapshotInTurns(query?: StatsQuery): Promise<StatsDocument>
  fleetSnapshot(query?: StatsQuery): Promise<StatsDocument>
  warn(warning: Warning): void
}

type Handler = (request: HttpRequest) => Promise<HttpAnswer>
type Scope = StatsDocument['scope']

/** How many pages may be live at once. */
const maxClients = 10
/** How many endpoints are sent to a page: the first ones of those that its filter selects, in its order. */
const maxRows = 200
const intervalMs = 1_000
/** All endpoints and the history: the page selects. */
const everything: StatsQuery = { limit: Number.MAX_SAFE_INTEGER, history: true }

const streamHeaders = {
  // Compressing middleware would hold back the events, so `no-transform` forbids it; the other header is for nginx.
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
}

/**
 * The handlers of the live page and of its server-sent events. Both show the `scope` that the query string asks for, and the endpoints
 * that its `filter` selects, in the order of its `sort`.
 */
export function createLivePage(monitor: LivePageSource, loadPage: LoadPage): Record<'page' | 'stream', Handler> {
  const warn: OnWarn = (warning) => monitor.warn(warning)
  const read = {
    instance: sharedFor(intervalMs / 2, () => readWire(monitor.snapshotInTurns(everything), warn)),
    fleet: sharedFor(intervalMs / 2, () => readWire(monitor.fleetSnapshot(everything), warn)),
  }
  /** One feed for all clients that look at the same view. */
  const feeds = new Map<string, LiveFeed>()
  const createFeed = ({ selectRows }: Page, view: ReturnType<Page['parseView']>) =>
    new LiveFeed({
      // JSON on one line is one line of one event.
      render: async () => `data: ${await writeWire(selectRows(await read[view.scope](), view, maxRows), warn)}\n\n`,
      onError: (error) =>
        monitor.warn({
          code: 'DASHBOARD_STREAM',
          message: `The live page could not be updated: ${messageOf(error)}`,
        }),
      intervalMs,
      lifetimeMs: 30_000,
      patienceMs: 10_000,
    })

  return {
    page: withScope(async ({ query }, scope) => {
      const { renderPage, pagePolicy } = await loadPage()
      const nonce = nodeCrypto().randomBytes(16).toString('base64')
      return answer(200, 'text/html; charset=utf-8', renderPage(await read[scope](), { query, nonce }), {
        'content-security-policy': pagePolicy(nonce),
        'referrer-policy': 'no-referrer',
      })
    }),
    stream: withScope(async ({ method, query, socket }) => {
      const page = await loadPage()
      if ([...feeds.values()].reduce((sum, { clients }) => sum + clients, 0) >= maxClients) {
        return problem(503, `Only ${maxClients} pages can be live at once`, { 'retry-after': '5' })
      }
      if (method === 'HEAD') return answer(200, 'text/event-stream; charset=utf-8', '', streamHeaders)
      const view = { ...page.parseView(query), others: '' }
      const key = JSON.stringify(view)
      // Only when the body is read: nobody reads it when the client has left meanwhile.
      const follow = () => {
        const feed = feeds.get(key) ?? createFeed(page, view)
        feeds.set(key, feed)
        return feed.follow({
          isOver: () => isClosing(socket),
          onStuck: () => (socket as { destroy?: () => void } | undefined)?.destroy?.(),
          onEnd: () => {
            if (feed.clients === 0 && feeds.get(key) === feed) feeds.delete(key)
          },
        })
      }
      const body = { [Symbol.asyncIterator]: () => follow()[Symbol.asyncIterator]() }
      return answer(200, 'text/event-stream; charset=utf-8', body, streamHeaders)
    }),
  }
}

async function readWire(document: Promise<StatsDocument>, warn: OnWarn): Promise<PageDocument> {
  return (await toWireInTurns(await document, warn)) as PageDocument
}

/** Calls the function at most once in that time, for all who ask. An error is forgotten at once. */
function sharedFor<Value>(ms: number, read: () => Promise<Value>): () => Promise<Value> {
  let shared: { readonly value: Promise<Value>; readonly until: number } | undefined
  return () => {
    if (shared !== undefined && performance.now() < shared.until) return shared.value
    const value = read()
    shared = { value, until: performance.now() + ms }
    value.catch(() => {
      shared = undefined
    })
    return value
  }
}

function withScope(handle: (request: HttpRequest, scope: Scope) => Promise<HttpAnswer>): Handler {
  return async (request) => {
    const scope = request.query.get('scope') ?? 'instance'
    if (scope === 'instance' || scope === 'fleet') return handle(request, scope)
    return problem(400, '`scope` must be one of instance, fleet')
  }
}

/**
 * Whether the server of a connection is closing, which the stream would hold up. Node sets `server` on the sockets of its
 * servers; elsewhere the stream ends after its lifetime.
 */
function isClosing(socket: object | undefined): boolean {
  const { server } = (socket ?? {}) as { readonly server?: { readonly listening?: boolean } | null }
  return server?.listening === false
}
