import vary from 'vary'
import type { ContentCoding, Encoding } from './codecs.ts'
import type { Negotiated } from './negotiate-encoding.ts'

/** The part of a request that compression reads: a request of `fetch`, Node, Express or Fastify is one. */
export interface CompressibleRequest {
  readonly method?: string | undefined
  readonly headers: Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>
}

/** The part of a request and of its answer's head that compression reads. */
export interface CompressibleHead {
  /** @defaultValue `'GET'` */
  readonly method?: string | undefined
  /** The request's `Accept-Encoding`. */
  readonly acceptEncoding?: string | null | undefined
  /** @defaultValue 200 */
  readonly status?: number | undefined
  /** Reads a header of the answer; the name is in lower case. */
  header(name: string): string | number | readonly string[] | null | undefined
}

/** A head that may belong to a 304. */
export interface ConditionalHead extends CompressibleHead {
  /** The request's `If-None-Match`. */
  readonly ifNoneMatch?: string | null | undefined
}

/** Why a body is not encoded. */
export type SkipReason =
  | 'method'
  | 'status'
  | 'encoded'
  | 'no-transform'
  | 'type'
  | 'digest'
  | 'not accepted'
  | 'small'
  | 'not smaller'

/** What compression changes in the head of an answer. */
export interface EncodedHead {
  readonly encoding: Encoding
  /** Headers to set. */
  readonly set: Readonly<Record<string, string>>
  /** Headers to remove. */
  readonly remove: readonly string[]
  /** Why the encoding is `'identity'`. */
  readonly skipped?: SkipReason | undefined
}

/** What does not change from answer to answer. */
export interface EncodingRules {
  /** Smaller bodies are not encoded. */
  readonly threshold: number
  negotiate(acceptEncoding: string | null | undefined): Negotiated
  isCompressible(contentType: string): boolean
}

/** How to encode a body. */
export interface EncodingPlan {
  readonly coding: ContentCoding
  /** The client refuses a body that is not encoded, so it is encoded even if that makes it larger. */
  readonly mustEncode: boolean
  /** The head for the encoded body. */
  readonly encoded: EncodedHead
  /** The head for the body as it is, if encoding does not make it smaller. */
  readonly notSmaller: EncodedHead
}

export function requestHead(
  request: CompressibleRequest,
): Pick<ConditionalHead, 'method' | 'acceptEncoding' | 'ifNoneMatch'> {
  return {
    method: request.method,
    acceptEncoding: requestHeader(request, 'accept-encoding'),
    ifNoneMatch: requestHeader(request, 'if-none-match'),
  }
}

function requestHeader({ headers }: CompressibleRequest, name: string): string | null | undefined {
  const value = isHeaders(headers) ? headers.get(name) : headers[name]
  return typeof value === 'object' ? value?.join(', ') : value
}

function isHeaders(headers: CompressibleRequest['headers']): headers is Pick<Headers, 'get'> {
  return typeof headers.get === 'function'
}

/**
 * Decides from the head alone whether to encode the body.
 *
 * @param length - the size of the body in bytes, if it is known
 * @returns a plan, or how the head changes when the body is not encoded
 */
export function planEncoding(
  head: ConditionalHead,
  length: number | undefined,
  { threshold, negotiate, isCompressible }: EncodingRules,
): EncodingPlan | EncodedHead {
  const { method, status = 200, acceptEncoding } = head
  if (isEncoded(head)) return unchanged('encoded')
  if (status < 200 || status === 204 || status === 205) return unchanged('status')
  if (/\bno-transform\b/i.test(text(head.header('cache-control')))) return unchanged('no-transform')
  // A 304 has no body and no type, but the validators of the answer that the client has stored (RFC 9110, 15.4.5).
  if (status === 304) {
    // The response cache puts the coding into the entity tag of an encoded body. Such a tag must not become weak.
    if (/-(?:zstd|br|gzip)"$/.test(text(head.header('etag'))) || isKnown(head)) return withVary(head, 'status')
    return headOfBodiless(head, negotiate(acceptEncoding), 'status')
  }
  if (!isCompressible(text(head.header('content-type')))) return unchanged('type')
  if (status === 206 || head.header('content-range')) return withVary(head, 'status')
  if (digestHeaders.some((name) => head.header(name))) return unchanged('digest')

  const negotiated = negotiate(acceptEncoding)
  const { encoding, refusesIdentity } = negotiated
  if (encoding === 'identity') return withVary(head, 'not accepted')
  if (length !== undefined && length < threshold && !refusesIdentity) return withVary(head, 'small')
  if (method === 'HEAD') return headOfBodiless(head, negotiated, 'method')
  const set = { vary: varyOf(head), 'content-encoding': encoding, ...weakEtag(head) }
  return {
    coding: encoding,
    mustEncode: refusesIdentity,
    // The encoded body is not stored, so ranges of its bytes cannot be served.
    encoded: { encoding, set, remove: ['accept-ranges', 'content-length'] },
    notSmaller: withVary(head, 'not smaller'),
  }
}

/** `Content-Length` as a number, if the head has a valid one. */
export function declaredLength(head: CompressibleHead): number | undefined {
  const value = text(head.header('content-length'))
  return /^\d+$/.test(value) ? Number(value) : undefined
}

/** Each holds a digest of the bytes that are sent (RFC 9530, RFC 3230, RFC 1864). */
const digestHeaders = ['content-digest', 'repr-digest', 'digest', 'content-md5']

function unchanged(skipped: SkipReason): EncodedHead {
  return { encoding: 'identity', set: {}, remove: [], skipped }
}

/** Caches must know that the answer depends on `Accept-Encoding`, even when this client gets the plain body. */
function withVary(head: CompressibleHead, skipped: SkipReason): EncodedHead {
  return { encoding: 'identity', set: { vary: varyOf(head) }, remove: [], skipped }
}

/** The head of an answer to HEAD, or of a 304. The body might be encoded, so the length is left out. */
function headOfBodiless(head: CompressibleHead, { encoding }: Negotiated, skipped: SkipReason): EncodedHead {
  if (encoding === 'identity') return withVary(head, skipped)
  const set = { vary: varyOf(head), ...weakEtag(head) }
  return { encoding: 'identity', set, remove: ['accept-ranges', 'content-length'], skipped }
}

function varyOf(head: CompressibleHead): string {
  const before = text(head.header('vary'))
  return before === '' ? 'Accept-Encoding' : vary.append(before, 'Accept-Encoding')
}

/** A strong entity tag promises the same bytes (RFC 9110, 8.8.3.3), so an encoded body gets a weak one. */
function weakEtag(head: CompressibleHead): { readonly etag?: string } {
  const etag = head.header('etag')
  return typeof etag !== 'string' || etag === '' || etag.startsWith('W/') ? {} : { etag: `W/${etag}` }
}

/** Whether the client has named the entity tag as it is. Its own answer was not encoded, or the tag would be weak. */
function isKnown(head: ConditionalHead): boolean {
  const { ifNoneMatch } = head
  const etag = text(head.header('etag'))
  const start = ifNoneMatch?.indexOf(etag) ?? -1
  return etag.startsWith('"') && start !== -1 && ifNoneMatch?.[start - 1] !== '/'
}

function isEncoded(head: CompressibleHead): boolean {
  const encoding = text(head.header('content-encoding'))
  if (encoding !== '' && encoding.toLowerCase() !== 'identity') return true
  // A transfer coding is applied after the content coding, and the handler has applied one already.
  const transfer = text(head.header('transfer-encoding'))
  return transfer !== '' && !/^(?:chunked|identity)$/i.test(transfer)
}

function text(value: ReturnType<CompressibleHead['header']>): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : String(value)
}
