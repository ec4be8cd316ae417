import { parseSort, type Sort, sortEndpoints } from '../columns.ts'
import type { PageDocument } from '../document.ts'

/** The reader's choices. */
export interface View {
  readonly scope: 'instance' | 'fleet'
  readonly sort: Sort
  /** Shows only endpoints whose method and route contain this text. */
  readonly filter: string
  /** All other parameters of the address, such as a token that `authorize` reads. Links and the stream have them too. */
  readonly others: string
}

/** No route contains a longer text. */
const maxFilterLength = 200
/** Each link of the page has the other parameters, and the size of a page is limited. */
const maxOthersLength = 2_000

export function parseView(query: URLSearchParams): View {
  const ours = new Set(['scope', 'sort', 'order', 'filter'])
  const others = new URLSearchParams([...query].filter(([name]) => !ours.has(name))).toString()
  return {
    scope: query.get('scope') === 'fleet' ? 'fleet' : 'instance',
    sort: parseSort(query),
    filter: (query.get('filter') ?? '').trim().slice(0, maxFilterLength),
    others: others.length > maxOthersLength ? '' : others,
  }
}

/** The query string of a view, as a link that works without JavaScript. */
export function linkTo({ scope, sort, filter, others }: View): string {
  const query = new URLSearchParams({ scope, sort: sort.column, order: sort.order })
  if (filter !== '') query.set('filter', filter)
  return `?${query}${others && `&${others}`}`
}

/** The document with the first endpoints of those that the view selects, in its order. */
export function selectRows(document: PageDocument, { filter, sort }: View, maxRows: number): PageDocument {
  const wanted = filter.toLowerCase()
  const found = document.endpoints.filter(({ method, route }) => `${method} ${route}`.toLowerCase().includes(wanted))
  const { selection } = document
  // Until the server has answered a new filter, the browser selects from the rows of the old one, and counts what it finds.
  const count = selection?.filter === filter ? selection.count : found.length
  return { ...document, endpoints: sortEndpoints(found, sort).slice(0, maxRows), selection: { filter, count } }
}
