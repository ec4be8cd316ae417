import { AsyncResource } from 'node:async_hooks'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import { finished } from 'node:stream/promises'
import {
  compressPayload,
  isStream,
  noPayload,
  type Reply,
  toReadable,
  undoEncoding,
  unwrapResponse,
} from '../compression/reply-compression.ts'
import { isBrokenOff } from '../pending-end.ts'
import { replaceMethods } from '../response-head.ts'
import { copyingStream } from './body-copy.ts'
import {
  type AnswerHead,
  addCacheStatus,
  type CachedAnswer,
  removeBodyHeaders,
  setAnswerHeaders,
} from './cached-answer.ts'
import type { CacheDecision } from './decisions.ts'
import { NodeCachedRequest } from './node-request.ts'
import type { ResponseCache } from './response-cache.ts'
import { fieldsOf } from './rules/answer-head.ts'
import { bodyFault, type HandlerAnswer, unstorableReason } from './rules/answer-rules.ts'
import { hasAnswer } from './rules/conditions.ts'
import type { CachedRequest } from './rules/request-rules.ts'

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
  onSend(request: Request, reply: CachedReply, payload: unknown): Promise<unknown>
}

/** Lets the rest of the request run. */
type Run = (next: () => void) => void

/** A request whose handler is running. */
interface RunningRequest {
  readonly request: CachedRequest
  readonly answer: PromiseWithResolvers<HandlerAnswer>
  readonly decision: Promise<CacheDecision>
  readonly changes: HeadChanges
}

const encodedByCache = new WeakSet<object>()

/** Whether the cache encodes the answer to this request. */
export function isEncodedByCache(request: object): boolean {
  return encodedByCache.has(request)
}

/**
 * @param route - tells routes apart that answer the same URL
 */
export function createCacheHooks<Request extends HookRequest, CachedReply extends HookReply>(
  responses: ResponseCache<Request>,
  route: string,
): CacheHooks<Request, CachedReply> {
  const { maxBytes, compressor } = responses.settings
  const runningRequests = new WeakMap<Request, RunningRequest>()

  /** Answers the request, or returns how its handler is to run. */
  async function answerOrRun(request: Request, reply: CachedReply): Promise<Run | undefined> {
    const answer = Promise.withResolvers<HandlerAnswer>()
    const running = Promise.withResolvers<Run>()
    const cachedRequest = new NodeCachedRequest(request.raw, request.url, request, route, request.originalUrl)
    // Nothing runs a handler in the background: `inject` would make a request of another client over plain HTTP/1.1.
    const decision = responses.respond(cachedRequest, {
      forRequest() {
        cachedRequest.hideConditions()
        // What the handler reads belongs to the load that waits for it.
        const load = new AsyncResource('posthaste.handler')
        running.resolve((next) => load.runInAsyncScope(next))
        return answer.promise
      },
    })
    const early = await Promise.race([decision, running.promise])
    if (typeof early === 'function') {
      decision.catch(() => {})
      encodedByCache.add(request)
      runningRequests.set(request, { request: cachedRequest, answer, decision, changes: trackHead(reply) })
      const { raw } = reply
      const noAnswer = { status: 499, headers: [], body: undefined }
      raw.once('close', () =>
        answer.resolve({ ...noAnswer, isAbandoned: true, fault: isBrokenOff(raw) ? 'broken' : undefined }),
      )
      onRawAnswer(
        reply,
        () => runningRequests.has(request),
        () => answer.resolve({ ...noAnswer, fault: 'raw' }),
      )
      return early
    }
    if (early.kind !== 'answer') {
      addCacheStatus(headOf(reply), early.cacheStatus)
      return (next) => next()
    }
    encodedByCache.add(request)
    const body = applyAnswer(reply, early.answer)
    reply.send(body === null ? noPayload(request) : asTyped(reply, body))
    return undefined
  }

  return {
    preHandler(request, reply, next) {
      answerOrRun(request, reply).then((run) => run?.(next), next)
    },

    async onSend(request, reply, given) {
      const running = runningRequests.get(request)
      if (running === undefined) {
        if (encodedByCache.has(request)) undoEncoding(reply)
        return given
      }
      runningRequests.delete(request)
      const payload = unwrapResponse(given, reply)
      const head = { status: reply.statusCode, ...running.changes.read() }
      const encode = (body: unknown) =>
        compressor === undefined ? body : compressPayload(compressor, request, reply, body)
      if (isStream(payload)) {
        addCacheStatus(headOf(reply), 'posthaste; fwd=miss')
        const isKnown = leaveOutKnown(reply, running.request)
        if (unstorableReason(head, 0) !== undefined) {
          running.answer.resolve({ ...head, body: undefined })
          if (!isKnown) return encode(payload)
          ;(toReadable(payload) as Readable).destroy()
          return null
        }
        const copying = copyingStream(maxBytes, (body) => running.answer.resolve({ ...head, body }))
        const copied = pipeline(toReadable(payload), copying, () => {})
        if (!isKnown) return encode(copied)
        await finished(copied.resume()).catch(() => {})
        return null
      }
      const bytes = Buffer.from((payload as string | Buffer | null | undefined) ?? '')
      running.answer.resolve({ ...head, body: bytes.length > maxBytes ? undefined : bytes })
      const decision = await running.decision.catch(
        (): CacheDecision => ({ kind: 'handled', cacheStatus: 'posthaste; fwd=miss' }),
      )
      if (decision.kind === 'answer') return applyAnswer(reply, decision.answer) ?? Readable.from([])
      addCacheStatus(headOf(reply), decision.cacheStatus)
      if (leaveOutKnown(reply, running.request)) return null
      // Fastify would replace a length that does not match by an error.
      return bodyFault(head, bytes) === 'length' ? payload : encode(payload)
    },
  }
}

/** Tells that a handler answers past the hooks, before its answer ends: some never end. */
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

interface HeadChanges {
  read(): Pick<HandlerAnswer, 'headers' | 'own' | 'removed' | 'hasTrailers'>
}

/**
 * Notes what the handler does to the head. Hooks of the application run before it and after it for each request, so what they
 * set must not be stored: the handler is done when it sends.
 */
function trackHead(reply: HookReply): HeadChanges {
  const before = { ...reply.getHeaders() }
  const touched = new Set<string>()
  let atSend: Readonly<Record<string, unknown>> | undefined
  let hasTrailers = false
  const { header, removeHeader, trailer, send } = reply
  Object.assign(reply, {
    trailer(name: string, make: unknown) {
      hasTrailers = true
      return trailer.call(reply, name, make)
    },
    header(name: string, value: string) {
      if (atSend === undefined) touched.add(String(name).toLowerCase())
      return header.call(reply, name, value)
    },
    removeHeader(name: string) {
      if (atSend === undefined) touched.add(String(name).toLowerCase())
      return removeHeader.call(reply, name)
    },
    send(payload: unknown) {
      unwrapResponse(payload, reply)
      atSend = { ...reply.getHeaders() }
      return send.call(reply, payload)
    },
  })
  return {
    read() {
      const headers = reply.getHeaders()
      const handled = atSend ?? headers
      for (const [name, value] of Object.entries(handled)) if (before[name] !== value) touched.add(name)
      // Fastify sets it for the handler.
      if (handled['content-type'] === undefined) touched.add('content-type')
      return {
        hasTrailers,
        headers: fieldsOf({ ...headers, ...handled }),
        own: touched,
        removed: [...touched].filter((name) => handled[name] === undefined && name !== 'content-type'),
      }
    },
  }
}

/** Makes the handler's own answer a 304 if the client has it already. @returns whether it has */
function leaveOutKnown(reply: Reply, request: CachedRequest): boolean {
  if (!hasAnswer(request, reply.statusCode, (name) => reply.getHeader(name))) return false
  reply.code(304)
  removeBodyHeaders(headOf(reply))
  return true
}

/** Sets the head of an answer and returns its payload. */
function applyAnswer(reply: Reply, { status, headers, removed, body }: CachedAnswer): Buffer | null {
  reply.code(status)
  setAnswerHeaders(headOf(reply), headers, removed)
  return body
}

/** Fastify gives a type to bytes that have none, but not to a stream, and not to nothing. */
function asTyped(reply: Reply, body: Buffer): Buffer | Readable | undefined {
  if (reply.getHeader('content-type') !== undefined) return body
  return body.length === 0 ? undefined : Readable.from([body])
}

function headOf(reply: Reply): AnswerHead {
  return {
    getHeaderNames: () => Object.keys(reply.getHeaders()),
    getHeader: (name) => reply.getHeader(name),
    setHeader: (name, value) => reply.header(name, value),
    removeHeader: (name) => reply.removeHeader(name),
  }
}
