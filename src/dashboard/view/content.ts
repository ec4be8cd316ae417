import type { PageDocument } from '../document.ts'
import { html, type Markup } from '../html.ts'
import { alerts } from './alerts.ts'
import { type ChartsOptions, drawCharts } from './charts.ts'
import { endpoints } from './endpoints.ts'
import { header } from './header.ts'
import { latencies } from './latency.ts'
import { lists } from './lists.ts'
import { summary } from './summary.ts'
import { system } from './system.ts'
import type { View } from './view.ts'

/** What the page shows besides the document. */
export interface ContentOptions extends ChartsOptions {
  readonly view: View
  /** Of the rows of endpoints together. @defaultValue no limit */
  readonly maxRowBytes?: number | undefined
}

/**
 * Everything that is seen, for the first paint on the server and for each update in the browser: one function, so that they
 * cannot differ.
 */
export function content(document: PageDocument, options: ContentOptions): Markup {
  const { view, maxRowBytes = Number.POSITIVE_INFINITY } = options
  return html`${header(document, view)}<main>${summary(document)}${alerts(document)}${drawCharts(options)}${endpoints(
    document,
    view,
    maxRowBytes,
  )}${latencies(document)}${lists(document)}${system(document)}</main>`
}
