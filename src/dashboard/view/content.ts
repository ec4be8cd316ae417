import type { PageDocument } from '../document.ts'
import { html, type Markup } from '../html.ts'
import { alerts } from './alerts.ts'
import { drawCharts } from './charts.ts'
import { endpoints } from './endpoints.ts'
import { header } from './header.ts'
import { latencies } from './latency.ts'
import { lists } from './lists.ts'
import { summary } from './summary.ts'
import { system } from './system.ts'
import type { View } from './view.ts'

export interface ContentOptions {
  readonly view: View
  /** The maximum size of all rows of endpoints together. @defaultValue no limit */
  readonly maxRowBytes?: number | undefined
  /** The time under the pointer, in seconds since 1970. */
  readonly pointedAt?: number | undefined
}

/**
 * The visible part of the page. The server calls it for the first page and the browser for each update, so both always look the
 * same. The document has the endpoints that the view selects.
 */
export function content(document: PageDocument, { view, maxRowBytes = Infinity, pointedAt }: ContentOptions): Markup {
  return html`${header(document, view)}<main>${summary(document)}${alerts(document)}${drawCharts(
    document,
    pointedAt,
  )}${endpoints(document, view, maxRowBytes)}${latencies(document)}${lists(document)}${system(document)}</main>`
}
