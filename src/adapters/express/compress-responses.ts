import type { ServerResponse } from 'node:http'
import { compressNodeResponse } from '../../http/compression/node-compression.ts'
import {
  type CompressResponsesOptions,
  createResponseCompression,
} from '../../http/compression/response-compression.ts'
import { wrongFramework } from '../../http/expect-call.ts'
import { createExpressLabels } from '../../http/express-labels.ts'
import type { ExpressRequest } from '../../http/express-tree.ts'
import type { Middleware } from './middleware.ts'

declare global {
  namespace Express {
    interface Response {
      /** Sends what {@link compressResponses} holds back of an answer in pieces. */
      flush(): void
    }
  }
}

/**
 * Compresses answers, whole or written in pieces, in a coding that the client accepts. Use it before the routes; on a route,
 * `compressResponses(false)` turns compression off.
 *
 * @throws TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * app.use(compressResponses())
 * app.get('/token', compressResponses(false), sendToken)
 * ```
 */
export function compressResponses<
  Request extends ExpressRequest = ExpressRequest,
  Response extends ServerResponse = ServerResponse,
>(options: CompressResponsesOptions<Request, Response> | false = {}): Middleware<Request, Response> {
  if (options === false) {
    return (_request, response, next) => {
      uncompressed.add(response)
      next()
    }
  }
  const { compressor, isWanted, save } = createResponseCompression(options)
  const labelOf = createExpressLabels()
  return (request, response, next) => {
    if (typeof next !== 'function') throw wrongFramework('compressResponses', 'express')
    const isOff = () => {
      if (uncompressed.has(response)) return true
      try {
        return !isWanted(request, response)
      } catch (error) {
        // Do not ask again, so that the page of the error can be sent.
        uncompressed.add(response)
        throw error
      }
    }
    const onEncoded =
      save &&
      ((rawBytes: number, sentBytes: number) =>
        save(request.method, labelOf(request, response.statusCode), rawBytes, sentBytes))
    compressNodeResponse(request, response, compressor, isOff, onEncoded)
    next()
  }
}

/** Responses of routes that turned compression off. */
const uncompressed = new WeakSet<ServerResponse>()
