import { columns, nextSort, sortEndpoints } from '../columns.ts'
import type { PageDocument, PageEndpoint } from '../document.ts'
import { html, type Markup } from '../html.ts'
import { frame } from './table.ts'
import { linkTo, type View } from './view.ts'

/**
 * The endpoints, sorted and filtered. Each header is a link to the page sorted by it, which the script follows without
 * loading.
 *
 * @param maxBytes - of all rows together
 */
export function endpoints(document: PageDocument, view: View, maxBytes: number): Markup {
  const { filter, sort, scope } = view
  const wanted = filter.toLowerCase()
  const found = document.endpoints.filter(({ method, route }) => `${method} ${route}`.toLowerCase().includes(wanted))
  const rows = fitting(sortEndpoints(found, sort).map(row), maxBytes)
  const heads = columns.map(({ key, label, title }) => {
    const order = sort.column === key && (sort.order === 'asc' ? 'ascending' : 'descending')
    return html`<th scope="col"${order && html` aria-sort="${order}"`}><a href="${linkTo({
      scope,
      sort: nextSort(sort, key),
    })}" data-sort="${key}" title="${title}">${label}</a></th>`
  })
  const empty = html`<tr><td colspan="${columns.length}">${filter === '' ? 'No requests yet' : 'No such endpoint'}</td></tr>`
  const total = Math.max(document.self.endpoints, document.endpoints.length)
  return html`<section aria-labelledby="endpoints"><div class="title"><h2 id="endpoints">Endpoints</h2><span class="note">${
    rows.length
  } of ${total}</span><input class="scripted" id="filter" type="search" placeholder="Filter" aria-label="Filter endpoints" autocomplete="off" spellcheck="false" data-keep></div>${frame(
    'Endpoints',
    html`<table class="endpoints"><caption>Endpoints</caption><thead><tr>${heads}</tr></thead><tbody>${
      rows.length === 0 ? empty : rows
    }</tbody></table>`,
  )}</section>`
}

function row(endpoint: PageEndpoint): Markup {
  const { method, route, error_rate } = endpoint
  const cells = columns.slice(1).map((column) => {
    const text = column.show(endpoint)
    const isBad = column.key.startsWith('error') && (error_rate ?? 0) > 0
    const kind = isBad ? html` class="bad"` : /^0%?$|^–$/.test(text) && html` class="zero"`
    return html`<td${kind}>${text}</td>`
  })
  return html`<tr><th scope="row"><span class="method">${method}</span> ${route}</th>${cells}</tr>`
}

/** As many rows as stay within the bytes: a page has its limit, whatever the routes are called. */
function fitting(rows: readonly Markup[], maxBytes: number): readonly Markup[] {
  let bytes = 0
  const end = rows.findIndex(({ text }) => {
    bytes += new TextEncoder().encode(text).length
    return bytes > maxBytes
  })
  return end === -1 ? rows : rows.slice(0, end)
}
