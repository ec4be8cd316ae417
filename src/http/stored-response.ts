import { hash } from 'node:crypto'
import vary from 'vary'
import { type CachedRequest, type HandlerAnswer, headerOf, lifetimeOf, variedBy } from './cache-rules.ts'
import type { Encoding } from './codecs.ts'

/** A response in the cache: what the handler answered, not encoded. */
export interface StoredResponse {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /** Of the body, for the entity tags of all its encodings. */
  readonly hash: string
  readonly storedAt: number
  /** When its own `max-age` ends. */
  readonly freshUntil: number | undefined
  /** The request headers that it depends on, with the values that it was made for. */
  readonly varied: readonly (readonly [name: string, value: string | null])[]
}

/** A finished answer to a request. */
export interface CachedAnswer {
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer | null
}

export function toStored(answer: HandlerAnswer, body: Buffer, request: CachedRequest, now: number): StoredResponse {
  const { status } = answer
  const lifetime = lifetimeOf(answer, now)
  return {
    status,
    headers: answer.headers.filter(([name]) => !perAnswer.has(name)),
    body: ownBytes(body),
    hash: hash('sha256', body, 'base64url').slice(0, 27),
    storedAt: now,
    freshUntil: lifetime === undefined ? undefined : now + lifetime * 1_000,
    varied: variedBy(answer).map((name) => [name, request.header(name) ?? null] as const),
  }
}

/**
 * The same bytes in memory of their own: an encoder's output, or a small text's, is a part of something larger, and the memory
 * of a handler may be used again.
 */
export function ownBytes(bytes: Buffer): Buffer {
  const own = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(own)
  return own
}

/** Whether what a store gave back is such a response. */
export function isStored(value: unknown): value is StoredResponse {
  const { body, headers, varied } = (value ?? {}) as Partial<StoredResponse>
  return body instanceof Uint8Array && Array.isArray(headers) && Array.isArray(varied)
}

/** Whether a stored response may answer this request (RFC 9111, 4.1). */
export function isMadeFor({ varied }: StoredResponse, request: CachedRequest): boolean {
  return varied.every(([name, value]) => (request.header(name) ?? null) === value)
}

/** The answer to a request from a stored response and its encoded body: 200, or 304 when the client has it. */
export function answerFrom(
  stored: StoredResponse,
  request: CachedRequest,
  { encoding, body, isVaried }: { encoding: Encoding; body: Buffer; isVaried: boolean },
  fields: { readonly ageMs: number | undefined; readonly cacheStatus: string },
): CachedAnswer {
  const etag = encoding === 'identity' ? `"${stored.hash}"` : `"${stored.hash}-${encoding}"`
  const header = headerOf(stored)
  const headers: (readonly [string, string])[] = [
    ...stored.headers.filter(([name]) => name !== 'vary'),
    ['etag', etag],
    ['cache-status', fields.cacheStatus],
  ]
  const varyOn = isVaried ? vary.append(header('vary') ?? '', 'Accept-Encoding') : header('vary')
  if (varyOn !== undefined) headers.push(['vary', varyOn])
  if (fields.ageMs !== undefined) headers.push(['age', String(Math.max(0, Math.floor(fields.ageMs / 1_000)))])
  if (stored.status === 200 && isUnchanged(request, etag, header('last-modified'))) {
    return { status: 304, headers: headers.filter(([name]) => !ofTheBody.has(name)), body: null }
  }
  if (encoding !== 'identity') headers.push(['content-encoding', encoding])
  headers.push(['content-length', String(body.length)])
  return { status: stored.status, headers, body: request.method === 'HEAD' ? null : body }
}

/** RFC 9110, 13.1.2 and 13.1.3: the date counts only where there is no entity tag. */
function isUnchanged(request: CachedRequest, etag: string, lastModified: string | undefined): boolean {
  const tags = request.header('if-none-match') ?? undefined
  if (tags !== undefined) return tags.trim() === '*' || tags.split(',').some((tag) => strong(tag) === etag)
  const since = request.header('if-modified-since') ?? undefined
  return since !== undefined && lastModified !== undefined && Date.parse(lastModified) <= Date.parse(since)
}

/** `If-None-Match` compares weakly. */
function strong(tag: string): string {
  return tag.trim().replace(/^W\//, '')
}

/** Fields of one connection, one answer or one request, which another must not repeat. */
const perAnswer: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['content-length', 'content-encoding', 'etag', 'accept-ranges', 'date', 'age', 'cache-status', 'set-cookie'],
  ...['content-digest', 'repr-digest', 'digest', 'content-md5', 'server-timing', 'traceparent', 'tracestate'],
  ...['x-request-id', 'request-id', 'x-correlation-id', 'x-response-time', 'x-runtime', 'x-cache'],
  ...['ratelimit', 'ratelimit-policy', 'ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'retry-after'],
  ...['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'],
])

/** Fields that describe a body, and have no place in a 304. */
const ofTheBody: ReadonlySet<string> = new Set(['content-type', 'content-language', 'content-disposition'])
