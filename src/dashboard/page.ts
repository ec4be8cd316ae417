import type { PageDocument } from './document.ts'
import { html, Markup } from './html.ts'
import { titleOf } from './view/alerts.ts'
import { content } from './view/content.ts'
import { parseView, selectRows } from './view/view.ts'

export { parseView, selectRows }

/** The bundled script and style sheet of `client/`. tsup and vitest replace these names; see `scripts/dashboard.ts`. */
declare const DASHBOARD_SCRIPT: string
declare const DASHBOARD_STYLE: string

export interface PageOptions {
  /** The request's query string: `scope`, and `sort`, `order` and `filter` of the table of endpoints. */
  readonly query: URLSearchParams
  /** Allows the page's own script and style in its Content-Security-Policy. Must be new for each response. */
  readonly nonce: string
}

/** The maximum size of a page. */
export const maxPageBytes = 80_000

/**
 * Renders the live page as one HTML document that loads nothing: the numbers of `GET /performance/stats` as tables and charts, which
 * need no JavaScript, and a script that follows the stream. At most 80,000 bytes: it lists as many endpoints as fit.
 */
export function renderPage(document: PageDocument, { query, nonce }: PageOptions): string {
  const view = { ...parseView(query), scope: document.scope }
  // More rows than this do not fit in any case.
  const selected = selectRows(document, view, 200)
  const page = (maxRowBytes: number) => frame(document, nonce, content(selected, { view, maxRowBytes })).text
  return page(Math.max(0, maxPageBytes - new TextEncoder().encode(page(0)).length))
}

function frame(document: PageDocument, nonce: string, body: Markup): Markup {
  return html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>${titleOf(document)}</title><link rel="icon" href="data:,"><style nonce="${nonce}">${new Markup(
    DASHBOARD_STYLE,
  )}</style></head><body><div id="page">${body}</div><p class="hidden" id="announcer" aria-live="polite"></p><script nonce="${nonce}">${new Markup(
    DASHBOARD_SCRIPT,
  )}</script></body></html>`
}

/** The Content-Security-Policy of the page: it may run its own script, read its own stream and reload itself, nothing else. */
export function pagePolicy(nonce: string): string {
  const rules = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ]
  return rules.join('; ')
}
