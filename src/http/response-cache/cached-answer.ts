import vary from 'vary'
import type { Encoding } from '../compression/codecs.ts'
import { type AnswerHead, fieldValue, headerOf } from './rules/answer-head.ts'
import { varyNames } from './rules/answer-rules.ts'
import { bodyHeaders, hasAnswer, isUnchanged } from './rules/conditions.ts'
import type { CachedRequest } from './rules/request-rules.ts'
import type { StoredResponse } from './stored-response.ts'

/** A finished answer from the cache. */
export interface CachedAnswer {
  readonly status: number
  readonly message?: string | undefined
  readonly headers: AnswerHead['headers']
  /** Headers that others may have set and the handler has removed. */
  readonly removed: readonly string[]
  readonly body: Buffer | null
  /** The parts of the stored response, for hooks of the application to see. */
  readonly source: Pick<StoredResponse, 'status' | 'headers' | 'body' | 'form'>
}

type Headers = AnswerHead['headers']

/** The head of a stored response in one coding, as far as it is the same for every client. */
export interface PreparedHead {
  readonly etag: string
  readonly lastModified: string | undefined
  readonly headers: Headers
  /** For a 304. */
  readonly bodiless: Headers
}

/** @param isVaried - whether other clients may get another coding */
export function prepareHead(stored: StoredResponse, encoding: Encoding, isVaried: boolean): PreparedHead {
  const header = headerOf(stored)
  const etag = encoding === 'identity' ? `"${stored.hash}"` : `"${stored.hash}-${encoding}"`
  const varyOn = isVaried ? vary.append(header('vary') ?? '', 'Accept-Encoding') : header('vary')
  const headers: Headers = [
    ...stored.headers.filter(([name]) => name !== 'vary'),
    ['etag', etag],
    ...(varyOn === undefined ? [] : [['vary', varyOn] as const]),
  ]
  return {
    etag,
    lastModified: header('last-modified'),
    headers: encoding === 'identity' ? headers : [...headers, ['content-encoding', encoding]],
    bodiless: headers.filter(([name]) => !bodyHeaders.has(name)),
  }
}

/**
 * Answers a request from a stored response: 200, or 304 when the client has the body already.
 *
 * @param report - the headers that belong to this answer alone
 */
export function answerFrom(
  stored: StoredResponse,
  request: CachedRequest,
  { etag, lastModified, headers, bodiless }: PreparedHead,
  body: Buffer,
  report: Headers,
): CachedAnswer {
  const { status, message, removed } = stored
  if (status === 200 && isUnchanged(request, etag, lastModified)) {
    return { status: 304, headers: [...bodiless, ...report], removed, body: null, source: stored }
  }
  const sent: Headers = [...headers, ...report, ['content-length', String(body.length)]]
  return { status, message, headers: sent, removed, body: request.method === 'HEAD' ? null : body, source: stored }
}

/** The head of an answer that is not sent yet. */
export interface WritableHead {
  /** In lower case. */
  getHeaderNames(): readonly string[]
  getHeader(name: string): unknown
  setHeader(name: string, value: string): unknown
  removeHeader(name: string): unknown
}

/** Sets the headers of a cached answer, and removes those that a handler may have set for its own body. */
export function setAnswerHeaders(head: WritableHead, headers: Headers, removed: readonly string[]): void {
  const present = head.getHeaderNames()
  for (const name of present) if (replacedHeaders.has(name) || removed.includes(name)) head.removeHeader(name)
  for (const header of headers) {
    const name = header[0]
    const value = header[1]
    const before = present.includes(name) ? head.getHeader(name) : undefined
    // A header that has this value already keeps the form in which it was set.
    if (before !== undefined && fieldValue(before) === value) continue
    setField(head, name, value)
  }
}

const replacedHeaders: ReadonlySet<string> = new Set([
  'content-type',
  'content-length',
  'transfer-encoding',
  'accept-ranges',
  'etag',
])

/**
 * Turns the head of a handler's own answer into that of a 304, if the client has the answer already. The caller sets the
 * status.
 *
 * @returns whether the client has the answer
 */
export function leaveOutKnown(
  request: CachedRequest,
  status: number,
  head: Pick<WritableHead, 'getHeader' | 'removeHeader'>,
): boolean {
  if (!hasAnswer(request, status, (name) => head.getHeader(name))) return false
  removeBodyHeaders(head)
  return true
}

function removeBodyHeaders(head: Pick<WritableHead, 'removeHeader'>): void {
  for (const name of bodyHeaders) head.removeHeader(name)
}

/**
 * Sets the headers that the cache adds to an answer. The headers of {@link CachedAnswer.source} are set already.
 *
 * @param isReportOnly - whether the body is not that of the answer, so that only the report is added
 */
export function finishAnswerHeaders(
  head: WritableHead,
  { status, headers }: CachedAnswer,
  isReportOnly: boolean,
): void {
  for (const [name, value] of headers) {
    if (!(isReportOnly ? reportHeaders : cacheHeaders).has(name)) continue
    setField(head, name, value)
  }
  if (status === 304) removeBodyHeaders(head)
}

/** Sets a header. The names of a `Vary` are added to those that are set already. */
export function setField(head: Pick<WritableHead, 'getHeader' | 'setHeader'>, name: string, value: string): void {
  const before = name === 'vary' ? head.getHeader(name) : undefined
  head.setHeader(name, before === undefined ? value : vary.append(fieldValue(before), varyNames(value)))
}

const reportHeaders: ReadonlySet<string> = new Set(['age', 'cache-status'])
const cacheHeaders: ReadonlySet<string> = new Set([
  ...reportHeaders,
  ...['etag', 'vary', 'content-encoding', 'content-length'],
])

/** Adds the report of this cache behind those of caches nearer to the origin (RFC 9211, 2). */
export function addCacheStatus(head: WritableHead, cacheStatus: string): void {
  const before = head.getHeader('cache-status')
  head.setHeader('cache-status', before === undefined ? cacheStatus : `${String(before)}, ${cacheStatus}`)
}
