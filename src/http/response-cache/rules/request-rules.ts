import type { HttpCacheSettings } from '../http-cache-options.ts'
import { hidesListedParameter, isDecodable, isReadableQuery, unlistedParameter } from './query-parameters.ts'

/** A request to a cached route. */
export interface CachedRequest<Request = unknown> {
  readonly method: string
  /** The path as the framework sees it. In fetch-style servers it begins with the origin, which may differ from `Host`. */
  readonly path: string
  /** The query string without the question mark, its bytes unchanged. */
  readonly query: string
  /** Tells routes apart that answer the same URL: the pattern, and what else selects the route. */
  readonly route: string
  header(name: string): string | null | undefined
  /** The names of all headers, in lower case; those of HTTP/2 that begin with a colon too. */
  names(): readonly string[]
  /** The framework's request, which the user's `key` and `tags` receive. */
  readonly original: Request
}

/**
 * Why a request bypasses the cache, in the form of `Cache-Status`; `undefined` when it may be answered from the cache. A
 * request with anything that could make the answer personal, or that a parser could read in two ways, bypasses the cache.
 */
export function bypassReason<Request>(
  request: CachedRequest<Request>,
  { query, keyOf, findUnknownHeader, onUnknownHeader }: HttpCacheSettings<Request>,
): string | undefined {
  const { method } = request
  if (method !== 'GET' && method !== 'HEAD') return 'fwd=method'
  // With these headers the handler may answer with a part (RFC 9110, 13 and 14), or depending on the request's body.
  const names = request.names()
  for (const name of names) if (specialHeaders.has(name)) return `fwd=bypass; detail=${name}`
  if ((request.header('content-length') ?? '0') !== '0') return 'fwd=bypass; detail=body'
  const cacheControl = request.header('cache-control') ?? ''
  if (cacheControl !== '' && /\bno-store\b/i.test(cacheControl)) return 'fwd=bypass; detail=no-store'
  if (!isDecodable(request.path)) return 'fwd=bypass; detail=path'
  if (!isReadableQuery(request.query)) return 'fwd=bypass; detail=query'
  if (keyOf !== undefined) {
    // The user's key covers what is personal, and parameters that are not listed.
    const isHiding = request.query !== '' && hidesListedParameter(request.query, query)
    return isHiding ? 'fwd=bypass; detail=query' : undefined
  }
  const unknown = findUnknownHeader(names)
  if (unknown !== undefined) {
    if (personalHeaders.has(unknown)) return `fwd=bypass; detail=${unknown}`
    onUnknownHeader(unknown)
    return 'fwd=bypass; detail=header'
  }
  if (request.query !== '' && unlistedParameter(request.query, query)) return 'fwd=bypass; detail=query'
  return undefined
}

/** Headers that ask for a part or set a condition, announce a body, or let an application see another method or URL. */
const specialHeaders: ReadonlySet<string> = new Set([
  ...['range', 'if-match', 'if-unmodified-since', 'upgrade', 'transfer-encoding'],
  ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-rewrite-url'],
])

/** Headers with credentials in most applications. Nobody needs a warning that they bypass the cache. */
const personalHeaders: ReadonlySet<string> = new Set(['authorization', 'cookie', 'proxy-authorization', 'x-api-key'])
