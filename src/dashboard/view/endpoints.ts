import { columns, measures, nextSort } from '../columns.ts'
import type { PageDocument, PageEndpoint } from '../document.ts'
import { decimal, whole } from '../format.ts'
import { endpointName, html, type Markup } from '../html.ts'
import { frame } from './table.ts'
import { linkTo, type View } from './view.ts'

/** Where the time of a request goes: the field of `breakdown` without `_ms`, its colour in the style sheet, its name. */
export const breakdownParts = [
  ['pool', 'violet', 'waiting for a connection'],
  ['database', 'blue', 'database'],
  ['cache', 'teal', 'cache'],
  ['upstream', 'amber', 'upstream'],
  ['loop', 'red', 'holding the event loop'],
  ['rest', 'rest', 'rest'],
] as const

/**
 * The endpoints of the document. Each header is a link to the page sorted by that column, and the filter is a form, so both work
 * without a script; the script does the same without loading the page.
 *
 * @param maxBytes - the maximum size of all rows together
 */
export function endpoints(document: PageDocument, view: View, maxBytes: number): Markup {
  const { filter, sort, scope, others } = view
  const hasBreakdown = document.endpoints.some(({ breakdown }) => breakdown != null)
  const rows = fitting(document.endpoints, (endpoint) => row(endpoint, hasBreakdown), maxBytes)
  const heads = columns.map(({ key, label, title }) => {
    const order = sort.column === key && (sort.order === 'asc' ? 'ascending' : 'descending')
    return html`<th scope="col"${order && html` aria-sort="${order}"`}><a href="${linkTo({
      ...view,
      sort: nextSort(sort, key),
    })}" data-sort="${key}" title="${title}">${label}</a></th>`
  })
  const empty = html`<tr><td class="text" colspan="${columns.length}">${filter === '' ? 'No requests yet' : `No endpoint contains “${filter}”`}</td></tr>`
  const total = Math.max(document.self.endpoints, document.endpoints.length)
  const found = document.selection?.count ?? document.endpoints.length
  const count =
    found === rows.length && found === total
      ? whole(total)
      : `${whole(rows.length)} of ${filter === '' ? whole(total) : `${whole(found)} found, ${whole(total)} in all`}`
  const { column, order } = sort
  return html`<section aria-labelledby="endpoints"><div class="title"><h2 id="endpoints">Endpoints</h2><span class="note">${count}</span><form method="get" role="search" data-keep><input type="hidden" name="scope" value="${scope}"><input type="hidden" name="sort" value="${column}"><input type="hidden" name="order" value="${order}">${[
    ...new URLSearchParams(others),
  ].map(
    ([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`,
  )}<input id="filter" name="filter" type="search" value="${filter}" placeholder="Filter by method or route" aria-label="Filter endpoints" autocomplete="off" spellcheck="false"></form></div>${frame(
    'Endpoints',
    html`<table class="endpoints"><caption>Endpoints</caption><thead><tr>${heads}${
      hasBreakdown && html`<th scope="col" class="text">Where the time goes</th>`
    }</tr></thead><tbody>${rows.length === 0 ? empty : rows}</tbody></table>`,
    'tall',
  )}${hasBreakdown && legend}</section>`
}

function row(endpoint: PageEndpoint, hasBreakdown: boolean): Markup {
  const { method, route, error_rate, unanswered, aborted } = endpoint
  const bad: Readonly<Record<string, boolean>> = {
    errors: (error_rate ?? 0) > 0,
    'error-rate': (error_rate ?? 0) > 0,
    unanswered: unanswered > 0,
    aborted: aborted > 0,
  }
  const cells = measures.map(({ key, show }) => {
    const text = show(endpoint)
    const kind = bad[key] ? html` class="bad"` : /^0%?$|^–$/.test(text) && html` class="zero"`
    return html`<td${kind}>${text}</td>`
  })
  return html`<tr><th scope="row">${endpointName(method, route)}</th>${cells}${
    hasBreakdown && html`<td class="text">${drawBreakdown(endpoint)}</td>`
  }</tr>`
}

/** One bar, divided as the mean time of a request is. */
function drawBreakdown({ breakdown }: PageEndpoint): Markup | undefined {
  if (breakdown == null) return undefined
  const shown = breakdownParts.map(([key, colour, name]) => ({
    colour,
    name,
    ms: Math.max(0, breakdown[`${key}_ms`] ?? 0),
  }))
  const total = shown.reduce((sum, { ms }) => sum + ms, 0)
  if (total === 0) return undefined
  let at = 0
  const rects = shown.map(({ colour, ms }) => {
    const start = at
    at += (100 * ms) / total
    return (
      ms > 0 &&
      html`<rect class="${colour}" x="${start.toFixed(1)}" width="${(at - start).toFixed(1)}" height="1"></rect>`
    )
  })
  const label = shown
    .filter(({ ms }) => ms > 0)
    .map(({ name, ms }) => `${name} ${decimal(ms)} ms`)
    .join(', ')
  return html`<svg class="breakdown" viewBox="0 0 100 1" preserveAspectRatio="none" role="img" aria-label="${label}"><title>${label}</title>${rects}</svg>`
}

const legend = html`<ul class="legend note" aria-label="Colours of the bars">${breakdownParts.map(
  ([, colour, name]) => html`<li><i class="${colour}"></i>${name}</li>`,
)}</ul>`

/** As many of the first rows as fit into `maxBytes`. */
function fitting(
  endpoints: readonly PageEndpoint[],
  draw: (endpoint: PageEndpoint) => Markup,
  maxBytes: number,
): readonly Markup[] {
  const rows: Markup[] = []
  let bytes = 0
  for (const endpoint of endpoints) {
    if (bytes >= maxBytes) break
    const drawn = draw(endpoint)
    bytes += new TextEncoder().encode(drawn.text).length
    if (bytes <= maxBytes) rows.push(drawn)
  }
  return rows
}
