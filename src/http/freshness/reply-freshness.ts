import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { runWork } from '../../shared/scope/work.ts'
import { isStream, noPayload, unwrapResponse } from '../compression/reply-compression.ts'
import { LatePayload, payloadHook, type Reply } from '../payload-hook.ts'
import { setField } from '../response-cache/cached-answer.ts'
import { NodeCachedRequest } from '../response-cache/node-request.ts'
import { headOf } from '../response-cache/reply-cache.ts'
import { fieldValue } from '../response-cache/rules/answer-head.ts'
import type { Freshness, Validator } from './freshness.ts'
import { setTag } from './validator-rules.ts'

/** A request of Fastify, on any server, with any logger and type provider, as hooks see it. */
export interface HookRequest {
  readonly url: string
  readonly originalUrl: string
  readonly headers: IncomingHttpHeaders
  readonly routeOptions: { readonly url?: string | undefined; readonly version?: string | undefined }
  readonly raw: Pick<IncomingMessage, 'method' | 'headers'>
}

/** A reply of Fastify, on any server, with any logger and type provider, as hooks see it. */
export interface HookReply extends Reply {
  send(payload: unknown): unknown
}

/** The hooks of a route, to spread into its options. Each is to run after the route's own. */
export interface RouteFreshness {
  preHandler(request: HookRequest, reply: HookReply, next: (error?: Error) => void): void
  onSend(
    request: HookRequest,
    reply: HookReply,
    payload: unknown,
    done: (error: Error | null, payload?: unknown) => void,
  ): void
}

export function createFreshnessHooks(freshness: Freshness<HookRequest>): RouteFreshness {
  const validators = new WeakMap<HookRequest, Validator>()
  return {
    preHandler(request, reply, next) {
      const { raw, url, originalUrl, routeOptions } = request
      // The client chooses the version of a route by a header.
      const route = `${routeOptions.url ?? ''} ${routeOptions.version ?? ''}`
      const checked = new NodeCachedRequest(raw, url, request, route, originalUrl)
      freshness.decide(checked).then((decision) => {
        if (decision.kind === 'bypass') return next()
        if (decision.kind === 'run') {
          validators.set(request, decision.validator)
          return decision.reads === undefined ? next() : runWork({ reads: decision.reads }, next)
        }
        reply.code(304)
        const head = headOf(reply)
        for (const [name, value] of decision.headers) setField(head, name, value)
        reply.send(noPayload(raw))
      }, next)
    },

    onSend: payloadHook((request: HookRequest, reply: HookReply, given) => {
      const validator = validators.get(request)
      if (validator === undefined) return given
      validators.delete(request)
      const payload = unwrapResponse(given, reply)
      const headers = Object.entries(reply.getHeaders()).map(([name, value]) => [name, fieldValue(value)] as const)
      const answer = { status: reply.statusCode, headers }
      const tagPayload = (tag: string | undefined) => {
        setTag(headOf(reply), validator.vary, tag)
        return payload
      }
      if (isStream(payload)) return tagPayload(validator.finishEarly(answer))
      return new LatePayload(validator.finish(answer).then((tag) => () => tagPayload(tag)))
    }),
  }
}
