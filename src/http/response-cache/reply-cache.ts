import { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import {
  compressPayload,
  isStream,
  noPayload,
  toReadable,
  undoEncoding,
  unwrapResponse,
} from '../compression/reply-compression.ts'
import { isBrokenOff, isDestroyed } from '../node-response/pending-end.ts'
import { replaceMethods } from '../node-response/response-head.ts'
import { LatePayload, type PayloadHook, payloadHook, type Reply } from '../payload-hook.ts'
import { copyingStream } from './body-copy.ts'
import {
  addCacheStatus,
  type CachedAnswer,
  finishAnswerHeaders,
  leaveOutKnown,
  setAnswerHeaders,
  type WritableHead,
} from './cached-answer.ts'
import { type CacheDecision, handled } from './decisions.ts'
import { NodeCachedRequest } from './node-request.ts'
import type { ResponseCache } from './response-cache.ts'
import { bodyFault, type HandlerAnswer, noAnswer, type PayloadForm, unstorableReason } from './rules/answer-rules.ts'
import type { CachedRequest } from './rules/request-rules.ts'
import { trackHead } from './rules/track-head.ts'

/** A request of a framework that has hooks before a handler and on its payload, as Fastify. */
interface HookRequest {
  readonly method: string
  /** The path and query as the routes see them. */
  readonly url: string
  /** The path and query as the client sent them. */
  readonly originalUrl: string
  readonly headers: IncomingHttpHeaders
  readonly raw: Pick<IncomingMessage, 'method' | 'headers'>
}

interface HookReply extends Reply {
  readonly raw: ServerResponse
  hijack(): unknown
  trailer(name: string, make: unknown): unknown
  send(payload: unknown): unknown
}

/** The hooks of a cached route, each to run after the route's own. */
interface CacheHooks<Request, CachedReply> {
  preHandler(request: Request, reply: CachedReply, next: (error?: Error) => void): void
  readonly onSend: PayloadHook<Request, CachedReply>
}

/** Lets the rest of the request run. */
type Run = (next: () => void) => void

/** A request whose handler is running. */
interface RunningRequest {
  readonly request: CachedRequest
  readonly answer: PromiseWithResolvers<HandlerAnswer>
  readonly decision: Promise<CacheDecision>
  readonly readHead: () => Pick<HandlerAnswer, 'headers' | 'own' | 'removed' | 'hasTrailers'>
}

/** What the hooks of the application were given: the cache's answer, or that of the request's own handler. */
type GivenToHooks = { readonly status: number; readonly payload: unknown } & (CachedGiven | OwnGiven)

interface CachedGiven {
  readonly answer: CachedAnswer
}

interface OwnGiven {
  readonly answer?: undefined
  readonly request: CachedRequest
  readonly cacheStatus: string
  /** The payload is a stream, of which the cache stores a copy. */
  readonly isCopied?: boolean
  /** Not to be encoded, so that Fastify itself replaces a wrong length or payload by its error. */
  readonly isLeftAsItIs?: boolean
}

const encodedByCache = new WeakSet<object>()
const givenToHooks = new WeakMap<object, GivenToHooks>()

/** Makes the payload that the first hook gives to the others, for requests to cached routes. */
const firstPayloads = new WeakMap<object, (payload: unknown) => unknown>()

/** Whether the cache encodes the answer to this request. */
export function isEncodedByCache(request: object): boolean {
  return encodedByCache.has(request)
}

/**
 * The hook to run before all others on the payload. It stores what the handler has sent, and lets the other hooks see the
 * same on a hit as on a miss.
 */
export const firstOnSend: PayloadHook<object, Reply> = payloadHook((request, _reply, payload) => {
  const give = firstPayloads.get(request)
  // If the payload is sent again, it is the page of an error.
  givenToHooks.delete(request)
  if (give === undefined) return payload
  firstPayloads.delete(request)
  return give(payload)
})

function giveToHooks(request: object, given: GivenToHooks): unknown {
  givenToHooks.set(request, given)
  return given.payload
}

/**
 * The hooks of a cached route. {@link firstOnSend} must be a hook too.
 *
 * @param route - tells routes apart that answer the same URL
 * @param hasOtherHooks - whether others see payloads
 */
export function createCacheHooks<Request extends HookRequest, CachedReply extends HookReply>(
  responses: ResponseCache<Request>,
  route: string,
  hasOtherHooks: () => boolean,
): CacheHooks<Request, CachedReply> {
  const { maxBytes, compressor } = responses.settings

  /** Answers the request, or returns how its handler is to run. */
  async function answerOrRun(request: Request, reply: CachedReply): Promise<Run | undefined> {
    const answer = Promise.withResolvers<HandlerAnswer>()
    const running = Promise.withResolvers<Run>()
    const cachedRequest = new NodeCachedRequest(request.raw, request.url, request, route, request.originalUrl)
    // Without `inBackground`: `inject` would make a request of another client over plain HTTP/1.1.
    const decision = responses.respond(cachedRequest, {
      forRequest() {
        cachedRequest.hideConditions()
        // What the handler reads must be noted for the load that waits for it.
        const load = new AsyncResource('posthaste.handler')
        running.resolve((next) => load.runInAsyncScope(next))
        return answer.promise
      },
    })
    const early = await Promise.race([decision, running.promise])
    if (typeof early === 'function') {
      decision.catch(() => {})
      encodedByCache.add(request)
      const runningRequest = { request: cachedRequest, answer, decision, readHead: trackReply(reply) }
      firstPayloads.set(request, (payload) => takeHandlerAnswer(runningRequest, request, reply, payload))
      const { raw } = reply
      // The client left while the store was asked, so its `close` has been missed.
      if (isDestroyed(raw)) answer.resolve({ ...noAnswer, isAbandoned: true })
      raw.once('close', () =>
        answer.resolve({ ...noAnswer, isAbandoned: true, fault: isBrokenOff(raw) ? 'broken' : undefined }),
      )
      onRawAnswer(
        reply,
        () => firstPayloads.has(request),
        () => answer.resolve({ ...noAnswer, fault: 'raw' }),
      )
      return early
    }
    if (early.kind !== 'answer') {
      addCacheStatus(headOf(reply), early.cacheStatus)
      return (next) => next()
    }
    encodedByCache.add(request)
    firstPayloads.set(request, () => giveAnswer(request, reply, early.answer))
    // Without a payload here, because Fastify would add a type to it.
    reply.send(undefined)
    return undefined
  }

  /** Hands the handler's answer to the cache, and returns the payload to go on with. */
  function takeHandlerAnswer(running: RunningRequest, request: Request, reply: Reply, given: unknown): unknown {
    const payload = unwrapResponse(given, reply)
    const status = reply.statusCode
    const head = { status, ...running.readHead(), form: formOf(payload) }
    const own = { status, request: running.request, cacheStatus: 'posthaste; fwd=miss' }
    if (isStream(payload)) {
      if (unstorableReason(head, 0) !== undefined) {
        running.answer.resolve({ ...head, body: undefined })
        return giveToHooks(request, { ...own, payload })
      }
      const copying = copyingStream(maxBytes, (body) => running.answer.resolve({ ...head, body }))
      const copied = pipeline(toReadable(payload), copying, () => {})
      return giveToHooks(request, { ...own, payload: copied, isCopied: true })
    }
    if (!isWhole(payload)) {
      running.answer.resolve({ ...head, body: undefined })
      return giveToHooks(request, { ...own, payload, isLeftAsItIs: true })
    }
    const bytes = Buffer.from(payload ?? '')
    running.answer.resolve({ ...head, body: bytes.length > maxBytes ? undefined : bytes })
    const deciding = running.decision.catch(() => handled('fwd=miss'))
    return new LatePayload(
      deciding.then((decision) => () => {
        if (decision.kind === 'answer') return giveAnswer(request, reply, decision.answer)
        const { cacheStatus } = decision
        const isLeftAsItIs = bodyFault(head, bytes) === 'length'
        return giveToHooks(request, { ...own, payload: payload ?? undefined, cacheStatus, isLeftAsItIs })
      }),
    )
  }

  /**
   * Sets the head and returns the payload: as the handler gave them, for other hooks to see; without other hooks, those of
   * the answer at once.
   */
  function giveAnswer(request: Request, reply: Reply, answer: CachedAnswer): unknown {
    const isSeen = hasOtherHooks()
    const { status, headers, body } = isSeen ? answer.source : answer
    reply.code(status)
    setAnswerHeaders(headOf(reply), headers, answer.removed)
    if (!isSeen) return body ?? noPayload(request) ?? null
    return giveToHooks(request, { status, answer, payload: payloadOf(answer.source.body, answer.source.form) })
  }

  return {
    preHandler(request, reply, next) {
      answerOrRun(request, reply).then((run) => run?.(next), next)
    },

    onSend: payloadHook((request, reply, payload) => {
      const given = givenToHooks.get(request)
      if (given === undefined) {
        if (encodedByCache.has(request)) undoEncoding(reply)
        return payload
      }
      givenToHooks.delete(request)
      const head = headOf(reply)
      const { answer } = given
      const isChanged = (payload ?? undefined) !== given.payload || reply.statusCode !== given.status
      if (answer !== undefined) {
        finishAnswerHeaders(head, answer, isChanged)
        if (!isChanged) {
          reply.code(answer.status)
          return answer.body ?? noPayload(request) ?? null
        }
      } else {
        addCacheStatus(head, given.cacheStatus)
        if (leaveOutKnown(given.request, reply.statusCode, head)) {
          reply.code(304)
          return readAway(payload, given.isCopied === true)
        }
        if (given.isLeftAsItIs && !isChanged) return payload
      }
      return compressor === undefined ? payload : compressPayload(compressor, request, reply, payload)
    }),
  }
}

/** Calls `tell` when a handler answers past the hooks, and not only when its answer ends: some never end. */
function onRawAnswer(reply: HookReply, isBeforeHooks: () => boolean, tell: () => void): void {
  const { raw, hijack } = reply
  const { writeHead } = raw
  Object.assign(reply, {
    hijack() {
      tell()
      return hijack.call(reply)
    },
  })
  replaceMethods(raw, {
    writeHead(...args: unknown[]) {
      if (isBeforeHooks()) tell()
      return writeHead.apply(raw, args as never)
    },
  })
}

/** Fastify refuses any other payload. */
function isWhole(payload: unknown): payload is string | Uint8Array | null | undefined {
  return payload === undefined || payload === null || typeof payload === 'string' || payload instanceof Uint8Array
}

function formOf(payload: unknown): PayloadForm {
  if (payload === undefined || payload === null) return 'none'
  if (typeof payload === 'string') return 'text'
  return isStream(payload) ? 'stream' : 'bytes'
}

/** A body in the form in which its handler gave it. Bytes are copied, because hooks may change them in place. */
function payloadOf(body: Buffer, form: PayloadForm = 'bytes'): unknown {
  if (form === 'none') return undefined
  if (form === 'text') return body.toString()
  return form === 'bytes' ? Buffer.from(body) : Readable.from([body])
}

/**
 * Notes the changes of the head from now until the payload is sent. After that, hooks on the payload change it for each
 * request.
 */
function trackReply(reply: HookReply): RunningRequest['readHead'] {
  const changesOf = trackHead(reply, ['header', 'removeHeader'], { ...reply.getHeaders() })
  const { trailer } = reply
  let hasTrailers = false
  Object.assign(reply, {
    trailer(name: string, make: unknown) {
      hasTrailers = true
      return trailer.call(reply, name, make)
    },
  })
  return () => ({ ...changesOf(reply.getHeaders()), hasTrailers })
}

/** Discards a payload that is not sent. A stream that is copied is read to its end first, so that the copy is complete. */
function readAway(payload: unknown, isCopied: boolean): null | LatePayload {
  if (!isStream(payload)) return null
  const stream = toReadable(payload) as Readable
  if (isCopied)
    return new LatePayload(
      finished(stream.resume())
        .catch(() => {})
        .then(() => () => null),
    )
  stream.destroy()
  return null
}

export function headOf(reply: Reply): WritableHead {
  return {
    getHeaderNames: () => Object.keys(reply.getHeaders()),
    getHeader: (name) => reply.getHeader(name),
    setHeader: (name, value) => reply.header(name, value),
    removeHeader: (name) => reply.removeHeader(name),
  }
}
