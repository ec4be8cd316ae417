import type { FastifyPluginCallback, FastifyReply, FastifyRequest, onSendHookHandler } from 'fastify'
import { compressionHooks, compressPayload } from '../../http/compression/reply-compression.ts'
import {
  type CompressResponsesOptions,
  createResponseCompression,
} from '../../http/compression/response-compression.ts'
import { unmatched } from '../../http/measure-request.ts'
import { payloadHook } from '../../http/payload-hook.ts'
import { isEncodedByCache } from '../../http/response-cache/reply-cache.ts'
import { plugin } from './plugin.ts'

/**
 * Compresses answers, whole or streamed, in a coding that the client accepts, except those of routes with `compress: false` in
 * their `config`.
 *
 * @example
 * ```ts
 * await app.register(compressResponses, {})
 * app.get('/token', { config: { compress: false } }, sendToken)
 * ```
 */
export const compressResponses: FastifyPluginCallback<CompressResponsesOptions<FastifyRequest, FastifyReply>> = plugin(
  'compressResponses',
  (app, options, done) => {
    const { compressor, isWanted, save } = createResponseCompression(options)
    const encode = (request: FastifyRequest, reply: FastifyReply, payload: unknown): unknown => {
      const { config, url } = request.routeOptions
      if (config.compress === false || isEncodedByCache(request) || !isWanted(request, reply)) return payload
      const onEncoded =
        save && ((rawBytes: number, sentBytes: number) => save(request.method, url ?? unmatched, rawBytes, sentBytes))
      return compressPayload(compressor, request, reply, payload, onEncoded)
    }
    const onSend: onSendHookHandler<unknown> = payloadHook(encode)
    compressionHooks.add(onSend)
    app.addHook('onSend', onSend)
    done()
  },
)
