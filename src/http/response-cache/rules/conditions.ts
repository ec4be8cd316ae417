import { parseHttpDate } from './freshness.ts'
import type { CachedRequest } from './request-rules.ts'

/**
 * RFC 9110, 13.1.2 and 13.1.3: the date counts only in a request without entity tags.
 *
 * @param etag - without the mark of weakness, which does not count
 */
export function isUnchanged(
  request: CachedRequest,
  etag: string | undefined,
  lastModified: string | undefined,
): boolean {
  const tags = request.header('if-none-match') ?? undefined
  if (tags !== undefined) {
    return tags.trim() === '*' || namesTag(tags, etag)
  }
  const since = request.header('if-modified-since') ?? undefined
  return since !== undefined && lastModified !== undefined && parseHttpDate(lastModified) <= parseHttpDate(since)
}

/**
 * Whether a value of `If-None-Match` names the entity tag.
 *
 * @param etag - without the mark of weakness
 */
export function namesTag(field: string, etag: string | undefined): boolean {
  // Compare the whole field first: a tag may hold a comma.
  return withoutWeakMark(field) === etag || field.split(',').some((tag) => withoutWeakMark(tag) === etag)
}

/**
 * Whether the client has the answer of a handler, by the handler's own validators. The handler could not tell: the conditions
 * were hidden from it.
 */
export function hasAnswer(request: CachedRequest, status: number, header: (name: string) => unknown): boolean {
  if (status !== 200) return false
  const [etag, lastModified] = [header('etag') ?? undefined, header('last-modified') ?? undefined]
  return isUnchanged(
    request,
    etag === undefined ? undefined : withoutWeakMark(String(etag)),
    lastModified === undefined ? undefined : String(lastModified),
  )
}

function withoutWeakMark(tag: string): string {
  return tag.trim().replace(/^W\//, '')
}

/** Headers that describe a body. A 304 has none of them. */
export const bodyHeaders: ReadonlySet<string> = new Set([
  ...['content-type', 'content-language', 'content-disposition', 'content-encoding', 'content-length'],
  ...['transfer-encoding', 'trailer'],
])
