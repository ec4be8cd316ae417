import { expectObject, expectOptions, expectString } from '../shared/arguments.ts'
import { listQueryNames } from './list-query/list-query.ts'
import type { ListQueryNames } from './list-query/types.ts'

/** The fields of a page that {@link linkHeader} reads, in either casing. */
export interface LinkedPage {
  readonly pagination:
    | { readonly page: number; readonly hasNext: boolean; readonly hasPrev: boolean; readonly totalPages?: number }
    | { readonly page: number; readonly has_next: boolean; readonly has_prev: boolean; readonly total_pages?: number }
    | { readonly next: string | null; readonly prev: string | null }
}

/**
 * The value of a `Link` header (RFC 8288) for a page: `first`, `prev`, `next` and `last` for a numbered page, `first`, `prev`
 * and `next` for a page with cursors. Without an exact total (`totalIs` other than `'exact'`, no total) there is no `last`.
 *
 * @param page - the result of `paginate` or `cursorPaginate`, in either casing
 * @param url - the URL of this page; its other parameters stay. Relative URLs give relative links, which the client resolves.
 * @param names - the names that `listQuery` was given for its parameters
 *
 * @example
 * ```ts
 * response.setHeader('Link', linkHeader(page, request.url))
 * // </users?role=admin&page=1>; rel="first", </users?role=admin&page=3>; rel="next", …
 * ```
 */
export function linkHeader(page: LinkedPage, url: string | URL, names: ListQueryNames = {}): string {
  expectObject(page, 'page')
  expectObject(page.pagination, 'page.pagination')
  expectOptions(names, listQueryNames, 'names')
  if (!(url instanceof URL)) expectString(url, 'url')
  const pagination = page.pagination as Pagination
  const links = typeof pagination.page === 'number' ? numbered(pagination) : cursored(pagination)
  const [path, query] = split(String(url))
  return Object.entries(links)
    .map(([relation, changes]) => `<${path}${queryWith(query, changes, names)}>; rel="${relation}"`)
    .join(', ')
}

/** Parameters to set. `page`, `after` and `before` are removed if they are not among them. */
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
    // From a page beyond the end, `prev` leads to the last page.
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

function queryWith(query: string, changes: Changes, names: ListQueryNames): string {
  const params = new URLSearchParams(query)
  for (const parameter of ['page', 'after', 'before'] as const) {
    const value = changes[parameter]
    const name = names[parameter] ?? parameter
    if (value === undefined) params.delete(name)
    else params.set(name, value)
  }
  return params.size === 0 ? '' : `?${params}`
}

/** The path, escaped for use between angle brackets, and the query. The fragment is dropped: a server never sees it. */
function split(url: string): [path: string, query: string] {
  const [address = ''] = url.split('#', 1)
  const start = (address.indexOf('?') + 1 || address.length + 1) - 1
  // RFC 3986 forbids these characters in a URL, and a raw `>` or line break would end the link or the header.
  const path = address.slice(0, start).replace(/[^\x21-\x7e]|[<>"\\^`{|}]/gu, encode)
  return [path, address.slice(start + 1)]
}

function encode(character: string): string {
  return encodeURIComponent(/\p{Cs}/u.test(character) ? '\uFFFD' : character)
}
