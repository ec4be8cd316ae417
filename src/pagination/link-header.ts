/** What {@link linkHeader} reads of a page, in either casing. */
export interface LinkedPage {
  readonly pagination:
    | { readonly page: number; readonly hasNext: boolean; readonly hasPrev: boolean; readonly totalPages?: number }
    | { readonly page: number; readonly has_next: boolean; readonly has_prev: boolean; readonly total_pages?: number }
    | { readonly next: string | null; readonly prev: string | null }
}

/**
 * The value of a `Link` header (RFC 8288) for a page: `first`, `prev`, `next` and `last` of a numbered page, `first`, `prev` and
 * `next` of one with cursors. A number that was not counted to the end (`totalIs` other than `'exact'`, no total) has no `last`.
 *
 * @param page - what `paginate` or `cursorPaginate` answered, in either casing
 * @param url - the URL of this page; its other parameters stay. A relative one gives relative links, which the client resolves.
 *
 * @example
 * ```ts
 * response.setHeader('Link', linkHeader(page, request.url))
 * // </users?role=admin&page=1>; rel="first", </users?role=admin&page=3>; rel="next", …
 * ```
 */
export function linkHeader(page: LinkedPage, url: string | URL): string {
  const pagination = page.pagination as Pagination
  const links = typeof pagination.page === 'number' ? numbered(pagination) : cursored(pagination)
  const [path, query] = split(String(url))
  return Object.entries(links)
    .map(([relation, changes]) => `<${path}${queryWith(query, changes)}>; rel="${relation}"`)
    .join(', ')
}

/** Parameters to set; those of the paging that are not among them go away. */
type Changes = Readonly<Record<string, string>>

type Pagination = Partial<
  Record<'page' | 'totalPages' | 'total_pages', number> &
    Record<'hasNext' | 'hasPrev' | 'has_next' | 'has_prev', boolean> &
    Record<'totalIs' | 'total_is', string> &
    Record<'next' | 'prev', string | null>
>

function numbered(pagination: Pagination): Record<string, Changes> {
  const { page = 1, hasNext = pagination.has_next, hasPrev = pagination.has_prev } = pagination
  const { totalPages = pagination.total_pages, totalIs = pagination.total_is ?? 'exact' } = pagination
  const last = totalPages !== undefined && totalIs === 'exact' ? Math.max(1, totalPages) : undefined
  const at = (number: number): Changes => ({ page: String(number) })
  return {
    first: at(1),
    // From beyond the end, the page before is the last one.
    ...(hasPrev ? { prev: at(Math.min(page - 1, last ?? page)) } : {}),
    ...(hasNext ? { next: at(page + 1) } : {}),
    ...(last === undefined ? {} : { last: at(last) }),
  }
}

function cursored({ next, prev }: Pagination): Record<string, Changes> {
  return {
    first: {},
    ...(prev ? { prev: { before: prev } } : {}),
    ...(next ? { next: { after: next } } : {}),
  }
}

function queryWith(query: string, changes: Changes): string {
  const params = new URLSearchParams(query)
  for (const name of ['page', 'after', 'before']) {
    const value = changes[name]
    if (value === undefined) params.delete(name)
    else params.set(name, value)
  }
  return params.size === 0 ? '' : `?${params}`
}

/** The path, as it may stand between angle brackets, and the query. A fragment never reaches the server. */
function split(url: string): [path: string, query: string] {
  const [address = ''] = url.split('#', 1)
  const start = (address.indexOf('?') + 1 || address.length + 1) - 1
  // RFC 3986 allows none of these in a URL, and a raw `>` or line break would end the link or the header.
  const path = address.slice(0, start).replace(/[^\x21-\x7e]|[<>"\\^`{|}]/gu, encode)
  return [path, address.slice(start + 1)]
}

function encode(character: string): string {
  return encodeURIComponent(/\p{Cs}/u.test(character) ? '\uFFFD' : character)
}
