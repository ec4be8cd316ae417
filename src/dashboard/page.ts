import { parseSort } from './columns.ts'
import type { PageDocument } from './document.ts'
import { History } from './history.ts'
import { html, Markup } from './html.ts'
import { content } from './view/content.ts'

/** The bundled script and style sheet of `client/`, put in place of these names by tsup and vitest; see `scripts/dashboard.ts`. */
declare const DASHBOARD_SCRIPT: string
declare const DASHBOARD_STYLE: string

/** What the page needs besides the document. */
export interface PageOptions {
  /** Of the request: `scope`, and `sort` and `order` of the table of endpoints. */
  readonly query: URLSearchParams
  /** Allows this page's own script and style in its Content-Security-Policy; new for each answer. */
  readonly nonce: string
}

/** The page's size in bytes, the largest a page may come to. */
export const maxPageBytes = 80_000

/**
 * The live page as one HTML document that loads nothing: the numbers of `GET /performance/stats` as tables, for a reader
 * without JavaScript too, and a script that follows the stream next to it. At most 80,000 bytes: of very many endpoints, the
 * first page has as many as fit.
 */
export function renderPage(document: PageDocument, { query, nonce }: PageOptions): string {
  const view = { scope: document.scope, sort: parseSort(query), filter: '' }
  const past = new History()
  past.add(document)
  const { moments } = past
  const page = (maxRowBytes: number) => frame(document, nonce, content(document, { view, maxRowBytes, moments })).text
  return page(Math.max(0, maxPageBytes - new TextEncoder().encode(page(0)).length))
}

function frame({ service }: PageDocument, nonce: string, body: Markup): Markup {
  const title = service === null ? 'Performance' : `${service} performance`
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${title}</title><link rel="icon" href="data:,"><style nonce="${nonce}">${new Markup(
    DASHBOARD_STYLE,
  )}</style></head><body><div id="page">${body}</div><p class="hidden" id="announcer" aria-live="polite"></p><script nonce="${nonce}">${new Markup(
    DASHBOARD_SCRIPT,
  )}</script></body></html>`
}

/** The Content-Security-Policy that lets the page run its own script, read its own stream, and do nothing else. */
export function pagePolicy(nonce: string): string {
  const rules = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ]
  return rules.join('; ')
}
