import { pipeline, Readable } from 'node:stream'
import { LatePayload, type Reply } from '../payload-hook.ts'
import type { OnEncoded } from './codecs.ts'
import type { Compressor, EncodedBody } from './compressor.ts'
import { type EncodedHead, requestHead } from './encoding-plan.ts'

interface ReplyRequest {
  readonly method: string
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
}

/** The hooks that only compress, and leave answers of the response cache as they are. */
export const compressionHooks: WeakSet<object> = /* @__PURE__ */ new WeakSet()

/**
 * Encodes the payload of a reply in a coding that the client accepts, and changes the reply's headers to match.
 *
 * @returns the payload to send, late only when the thread pool encodes it
 */
export function compressPayload(
  compressor: Compressor,
  request: ReplyRequest,
  reply: Reply,
  given: unknown,
  onEncoded?: OnEncoded,
): unknown {
  const payload = unwrapResponse(given, reply)
  undoEncoding(reply)
  const head = {
    ...requestHead(request),
    status: reply.statusCode,
    header: (name: string) => reply.getHeader(name) as string | undefined,
  }
  if (!isStream(payload)) {
    const body = typeof payload === 'string' || payload instanceof Uint8Array ? payload : ''
    const finish = (encoded: EncodedBody) => {
      changeHead(reply, encoded)
      // For a text, Fastify would set its length, which differs from the length of the answer to GET.
      if (encoded.skipped === 'method') return Readable.from([])
      return encoded.encoding === 'identity' ? payload : encoded.body
    }
    const encoding = compressor.body(body, head, onEncoded)
    return encoding instanceof Promise
      ? new LatePayload(encoding.then((encoded) => () => finish(encoded)))
      : finish(encoding)
  }
  const { encoder, ...changes } = compressor.stream(head, onEncoded)
  changeHead(reply, changes)
  if (encoder === undefined) return payload
  return pipeline(toReadable(payload), encoder, () => {})
}

/** Applies a payload that is a `Response` to the reply, as Fastify does after its hooks, and returns its body. */
export function unwrapResponse(payload: unknown, reply: Reply): unknown {
  if (!(payload instanceof Response)) return payload
  reply.code(payload.status)
  for (const [name, value] of payload.headers) reply.header(name, value)
  return payload.body
}

/**
 * What to send for an answer without a body. Without a payload, Fastify would give an answer to HEAD the length 0; an empty
 * stream gets no length. Other answers get no stream, because it costs as much as the rest of a 304.
 */
export function noPayload({ method }: { readonly method?: string | undefined }): Readable | undefined {
  return method === 'HEAD' ? Readable.from([]) : undefined
}

export function isStream(payload: unknown): payload is NodeJS.ReadableStream | ReadableStream {
  return payload instanceof ReadableStream || typeof (payload as Readable | null)?.pipe === 'function'
}

export function toReadable(payload: NodeJS.ReadableStream | ReadableStream): NodeJS.ReadableStream {
  return payload instanceof ReadableStream ? Readable.fromWeb(payload as never) : payload
}

/** Functions that remove the encoding of a payload from the head of its reply. */
const undoByReply = new WeakMap<Reply, () => void>()

/**
 * The page of an error replaces a payload that was encoded when a later hook throws, or when a stream fails before its first
 * piece is sent. The page is not encoded.
 */
export function undoEncoding(reply: Reply): void {
  undoByReply.get(reply)?.()
  undoByReply.delete(reply)
}

/** Leaves `Content-Length` to Fastify, because an answer with trailers must have none. */
function changeHead(reply: Reply, { encoding, set, remove }: EncodedHead): void {
  const { 'content-length': _length, ...fields } = set
  if (encoding !== 'identity') {
    const etag = reply.getHeader('etag')
    const ranges = reply.getHeader('accept-ranges')
    undoByReply.set(reply, () => {
      reply.removeHeader('content-encoding')
      if (etag !== undefined) reply.header('etag', etag as string)
      if (ranges !== undefined) reply.header('accept-ranges', ranges as string)
    })
  }
  for (const name of remove) reply.removeHeader(name)
  reply.headers(fields)
}
