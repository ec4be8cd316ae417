import type { Context, MiddlewareHandler } from 'hono'
import { compressFetchResponse } from '../../http/compression/fetch-compression.ts'
import {
  type CompressResponsesOptions,
  createResponseCompression,
} from '../../http/compression/response-compression.ts'
import { wrongFramework } from '../../http/expect-call.ts'
import { isBun } from '../../shared/platform/runtime.ts'
import { answerByNext, patternOf, replaceResponse } from './context.ts'

/**
 * Compresses answers, whole or streamed, in a coding that the client accepts. Use it before the routes; on a route,
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
export function compressResponses(
  options: CompressResponsesOptions<Context, Response> | false = {},
): MiddlewareHandler {
  if (options === false) {
    return (c, next) => {
      uncompressed.add(c)
      return answerByNext(next)
    }
  }
  const { compressor, isWanted, save } = createResponseCompression(options)
  return async (c, next) => {
    if (typeof next !== 'function') throw wrongFramework('compressResponses', 'hono')
    // `c.text` leaves the type to the runtime when no header is set, and Bun does not show it: have Hono set it.
    if (isBun) c.header('content-type', undefined)
    await next()
    if (uncompressed.has(c) || !isWanted(c, c.res)) return
    const onEncoded =
      save &&
      ((rawBytes: number, sentBytes: number) => save(c.req.method, patternOf(c, c.res.status), rawBytes, sentBytes))
    replaceResponse(c, await compressFetchResponse(c.req.raw, c.res, compressor, onEncoded))
  }
}

/** Contexts of routes that turned compression off. */
const uncompressed = new WeakSet<Context>()
