import { parseSort, type Sort, sortEndpoints } from '../columns.ts'
import type { PageDocument } from '../document.ts'

/** The reader's choices. */
export interface View {
  readonly scope: 'instance' | 'fleet'
  readonly sort: Sort
  /** Shows only endpoints whose method and route contain this text. */
  readonly filter: string
}

/** No route contains a longer text. */
const maxFilterLength = 200

export function parseView(query: URLSearchParams): View {
  return {
    scope: query.get('scope') === 'fleet' ? 'fleet' : 'instance',
    sort: parseSort(query),
    filter: (query.get('filter') ?? '').trim().slice(0, maxFilterLength),
  }
}

/** The query string of a view, as a link that works without JavaScript. */
export function linkTo({ scope, sort, filter }: View): string {
  const query = new URLSearchParams({ scope, sort: sort.column, order: sort.order })
  if (filter !== '') query.set('filter', filter)
  return `?${query}`
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
