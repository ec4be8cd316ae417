import type { IncomingMessage, ServerResponse } from 'node:http'
import { intercept } from '../node-response/intercept.ts'
import { beforeHead, replaceMethods } from '../node-response/response-head.ts'
import type { OnEncoded } from './codecs.ts'
import { type EncodedBody, type ResponseCompressor, whenReady } from './compressor.ts'
import { type CompressibleHead, declaredLength, type EncodedHead, requestHead } from './encoding-plan.ts'

/**
 * Compresses what the handler of a request sends through Node's response, in one piece or in many.
 *
 * @param isOff - asked when the handler sends the answer, so that a route can still turn compression off
 */
export function compressNodeResponse(
  request: IncomingMessage,
  response: ServerResponse,
  compressor: ResponseCompressor,
  isOff: () => boolean,
  onEncoded?: OnEncoded | undefined,
): void {
  // The response cache hides conditions from the handler.
  const { acceptEncoding, ifNoneMatch } = requestHead(request)
  const head = () => ({
    method: request.method,
    acceptEncoding,
    ifNoneMatch,
    status: response.statusCode,
    header: (name: string) => response.getHeader(name),
  })
  /**
   * The head for a body that is not encoded. In HTTP/1.0 there are no chunks: only a declared length tells where a body
   * ends.
   */
  const withoutCoding = () => {
    const plan = compressor.plan(head(), undefined)
    return 'coding' in plan ? plan.notSmaller : plan
  }
  let flush = () => {}
  replaceMethods(response, { flush: () => flush() })
  // This client never gets an encoded body, so only the head can change.
  if (compressor.negotiate(acceptEncoding).encoding === 'identity') {
    beforeHead(response, () => (isOff() ? noChange : (compressor.plan(head(), undefined) as EncodedHead)))
    return
  }
  flush = intercept(response, {
    whole(body) {
      if (isOff()) return { ...noChange, body: undefined }
      // An answer to HEAD has no body to measure, only the `Content-Length` in its head.
      if (request.method === 'HEAD') {
        const { set, remove } = compressor.stream(head())
        return { set, remove, body: undefined }
      }
      const isUnframed = isHttp10(request) && response.hasHeader('transfer-encoding')
      const given = head()
      if (isUnframed || isShort(given, body)) return { ...withoutCoding(), body: undefined }
      return whenReady(compressor.body(body, given, onEncoded), toChange)
    },
    pieces() {
      if (isOff()) return { ...noChange, encoder: undefined }
      if (isHttp10(request) && (response.hasHeader('content-length') || response.hasHeader('transfer-encoding'))) {
        return { ...withoutCoding(), encoder: undefined }
      }
      const { set, remove, encoder } = compressor.stream(head(), onEncoded)
      return { set, remove, encoder }
    },
  })
}

const noChange = { set: {}, remove: [] }

function toChange({ encoding, set, remove, body }: EncodedBody) {
  return { set, remove, body: encoding === 'identity' ? undefined : (body as Uint8Array) }
}

/** Whether the body is shorter than declared. It was cut off, and if it were encoded, it would look whole. */
function isShort(head: CompressibleHead, body: string | Buffer): boolean {
  const declared = declaredLength(head)
  return declared !== undefined && Buffer.byteLength(body) < declared
}

function isHttp10({ httpVersionMajor, httpVersionMinor }: IncomingMessage): boolean {
  return httpVersionMajor === 1 && httpVersionMinor === 0
}
