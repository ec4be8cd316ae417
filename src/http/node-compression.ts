import type { IncomingMessage, ServerResponse } from 'node:http'
import { compressorOf, type EncodedBody, type Engine, next, type OnEncoded } from './compressor.ts'
import type { EncodedHead } from './encoding-plan.ts'
import { beforeHead, intercept } from './intercept.ts'

/** How an answer through Node's response is compressed. */
export interface NodeCompression {
  readonly engine: Engine
  /** Asked when the answer is there. */
  readonly isOff: () => boolean
  readonly onEncoded?: OnEncoded | undefined
}

/** Compresses what the handler of a request sends through Node's response, in one piece or in many. */
export function compressNodeResponse(
  request: IncomingMessage,
  response: ServerResponse,
  { engine, isOff, onEncoded }: NodeCompression,
): void {
  const head = () => ({
    method: request.method,
    acceptEncoding: request.headers['accept-encoding'] as string | undefined,
    status: response.statusCode,
    header: (name: string) => response.getHeader(name),
  })
  // Whatever the body is, it is sent as it is, so only the head is waited for.
  if (!engine.accepts(request.headers['accept-encoding'] as string | undefined)) {
    beforeHead(response, () => {
      if (!isOff()) change(response, engine.plan(head(), undefined) as EncodedHead)
    })
    return
  }
  const compressor = compressorOf(engine)
  intercept(response, {
    whole(body) {
      if (isOff()) return () => body
      // An answer to HEAD has no body to measure, only a head that tells its length.
      if (request.method === 'HEAD') {
        return () => {
          change(response, compressor.stream(head()))
          return undefined
        }
      }
      const finish = (encoded: EncodedBody) => () => {
        change(response, encoded)
        return encoded.body
      }
      return next(compressor.body(body, head(), onEncoded), finish)
    },
    pieces() {
      if (isOff()) return undefined
      const { encoder, ...changes } = compressor.stream(head(), onEncoded)
      change(response, changes)
      return encoder
    },
  })
}

function change(response: ServerResponse, { set, remove }: EncodedHead): void {
  for (const name of remove) response.removeHeader(name)
  for (const name of Object.keys(set)) response.setHeader(name, set[name] as string)
}
