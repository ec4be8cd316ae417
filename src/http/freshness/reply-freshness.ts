import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { runWork } from '../../shared/scope/work.ts'
import { isStream, noPayload, type Reply, unwrapResponse } from '../compression/reply-compression.ts'
import { NodeCachedRequest } from '../response-cache/node-request.ts'
import { fieldValue } from '../response-cache/rules/answer-head.ts'
import type { Freshness, Validator } from './freshness.ts'
import { varyWith } from './validator-rules.ts'

/** A request of a framework that has hooks before a handler and on its payload, as Fastify. */
interface HookRequest {
  readonly url: string
  readonly originalUrl: string
  readonly headers: IncomingHttpHeaders
  readonly raw: Pick<IncomingMessage, 'method' | 'headers'>
}

interface HookReply extends Reply {
  send(payload: unknown): unknown
}

/** The hooks of a route, each to run after the route's own. */
export interface FreshnessHooks<Request, CheckedReply> {
  preHandler(request: Request, reply: CheckedReply, next: (error?: Error) => void): void
  onSend(request: Request, reply: CheckedReply, payload: unknown): Promise<unknown>
}

/** @param route - tells routes apart that answer the same URL */
export function createFreshnessHooks<Request extends HookRequest, CheckedReply extends HookReply>(
  freshness: Freshness<Request>,
  routeOf: (request: Request) => string,
): FreshnessHooks<Request, CheckedReply> {
  const validators = new WeakMap<Request, Validator>()
  return {
    preHandler(request, reply, next) {
      const checked = new NodeCachedRequest(request.raw, request.url, request, routeOf(request), request.originalUrl)
      freshness.decide(checked).then((decision) => {
        if (decision.kind === 'bypass') return next()
        if (decision.kind === 'run') {
          validators.set(request, decision.validator)
          return decision.reads === undefined ? next() : runWork({ reads: decision.reads }, next)
        }
        reply.code(304)
        for (const [name, value] of decision.headers) setField(reply, name, value)
        reply.send(noPayload(request.raw))
      }, next)
    },

    async onSend(request, reply, given) {
      const validator = validators.get(request)
      if (validator === undefined) return given
      validators.delete(request)
      const payload = unwrapResponse(given, reply)
      const headers = Object.entries(reply.getHeaders()).map(([name, value]) => [name, fieldValue(value)] as const)
      const answer = { status: reply.statusCode, headers }
      const tag = isStream(payload)
        ? validator.finishEarly(answer)
        : await validator.finish(answer).catch(() => undefined)
      if (tag === undefined) return payload
      reply.header('etag', tag)
      const before = reply.getHeader('vary')
      const varied = varyWith(before === undefined ? undefined : fieldValue(before), validator.vary)
      if (varied !== undefined) reply.header('vary', varied)
      return payload
    },
  }
}

function setField(reply: Reply, name: string, value: string): void {
  const before = reply.getHeader(name)
  if (name === 'vary' && before !== undefined) reply.header(name, varyWith(fieldValue(before), [value]) as string)
  else reply.header(name, value)
}
