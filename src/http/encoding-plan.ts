import compressible from 'compressible'
import vary from 'vary'
import type { ContentCoding, Encoding } from './codecs.ts'
import type { Negotiated } from './negotiate-encoding.ts'

/** A request and the head of its answer, as far as compression depends on them. */
export interface CompressibleHead {
  /** @defaultValue `'GET'` */
  readonly method?: string | undefined
  /** The request's header `Accept-Encoding`. */
  readonly acceptEncoding?: string | null | undefined
  /** @defaultValue 200 */
  readonly status?: number | undefined
  /** A header of the answer; the name is in lower case. */
  header(name: string): string | number | readonly string[] | null | undefined
}

/** Why a body is left as it is. */
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

/** The coding to use, with the head for it, and the head for the case that it does not make the body smaller. */
export interface EncodingPlan {
  readonly coding: ContentCoding
  readonly mustEncode: boolean
  readonly encoded: EncodedHead
  readonly notSmaller: EncodedHead
}

/**
 * Decides by the head alone: either which coding to use, or how the head of the untouched answer has to change.
 *
 * @param length - of the body in bytes, when it is known
 */
export function planEncoding(
  head: CompressibleHead,
  length: number | undefined,
  threshold: number,
  negotiate: (acceptEncoding: string | null | undefined) => Negotiated,
): EncodingPlan | EncodedHead {
  const { method, status = 200, acceptEncoding } = head
  if (isEncoded(head)) return untouched('encoded')
  if (status < 200 || status === 204 || status === 205) return untouched('status')
  if (mayNotTransform(head)) return untouched('no-transform')
  // It has no body and no type, but the validators of the answer that it stands for (RFC 9110, 15.4.5).
  if (status === 304) return standIn(head, negotiate(acceptEncoding), 'status')
  if (!isCompressible(text(head.header('content-type')))) return untouched('type')
  if (status === 206 || head.header('content-range')) return varied(head, 'status')
  if (digests.some((name) => head.header(name))) return untouched('digest')

  const negotiated = negotiate(acceptEncoding)
  const { encoding, refusesIdentity } = negotiated
  if (encoding === 'identity') return varied(head, 'not accepted')
  if (length !== undefined && length < threshold && !refusesIdentity) return varied(head, 'small')
  if (method === 'HEAD') return standIn(head, negotiated, 'method')
  const set = { vary: varyOf(head), 'content-encoding': encoding, ...weakened(head) }
  return {
    coding: encoding,
    mustEncode: refusesIdentity,
    // Ranges would count in bytes of a body that is not kept.
    encoded: { encoding, set, remove: ['accept-ranges', 'content-length', 'transfer-encoding'] },
    notSmaller: varied(head, 'not smaller'),
  }
}

/** `Content-Length` of the head, where it has one. */
export function declaredLength({ header }: CompressibleHead): number | undefined {
  const value = text(header('content-length'))
  return /^\d+$/.test(value) ? Number(value) : undefined
}

/** Digests of the bytes as they are (RFC 9530, RFC 3230, RFC 1864). */
const digests = ['content-digest', 'repr-digest', 'digest', 'content-md5']

function untouched(skipped: SkipReason): EncodedHead {
  return { encoding: 'identity', set: {}, remove: [], skipped }
}

/** Caches must know that another client may be sent another body, whichever is sent now. */
function varied(head: CompressibleHead, skipped: SkipReason): EncodedHead {
  return { encoding: 'identity', set: { vary: varyOf(head) }, remove: [], skipped }
}

/** The head of an answer without body that stands for one that may be encoded. */
function standIn(head: CompressibleHead, { encoding }: Negotiated, skipped: SkipReason): EncodedHead {
  if (encoding === 'identity') return varied(head, skipped)
  const set = { vary: varyOf(head), ...weakened(head) }
  return { encoding: 'identity', set, remove: ['accept-ranges', 'content-length'], skipped }
}

function varyOf(head: CompressibleHead): string {
  const before = text(head.header('vary'))
  return before === '' ? 'Accept-Encoding' : vary.append(before, 'Accept-Encoding')
}

/** A strong validator promises the same bytes (RFC 9110, 8.8.3.3). */
function weakened(head: CompressibleHead): { readonly etag?: string } {
  const etag = text(head.header('etag'))
  return etag === '' || etag.startsWith('W/') ? {} : { etag: `W/${etag}` }
}

function isEncoded(head: CompressibleHead): boolean {
  const encoding = text(head.header('content-encoding'))
  return encoding !== '' && encoding.toLowerCase() !== 'identity'
}

function mayNotTransform(head: CompressibleHead): boolean {
  const cacheControl = head.header('cache-control')
  return cacheControl !== undefined && cacheControl !== null && /\bno-transform\b/i.test(text(cacheControl))
}

/** By `Content-Type`: a server has few, and looking one up costs more than the rest of a plan. */
const compressibleTypes = new Map<string, boolean>()
const maxTypes = 100

function isCompressible(contentType: string): boolean {
  const known = compressibleTypes.get(contentType)
  if (known !== undefined) return known
  if (compressibleTypes.size === maxTypes) compressibleTypes.clear()
  const type = (contentType.split(';', 1)[0] as string).trim().toLowerCase()
  // Event streams must not be held back, not even for 10 ms.
  const found = type !== 'text/event-stream' && compressible(type) === true
  compressibleTypes.set(contentType, found)
  return found
}

function text(value: ReturnType<CompressibleHead['header']>): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : String(value)
}
