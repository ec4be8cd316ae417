import type { IncomingMessage, ServerResponse } from 'node:http'
import { isBrokenOff, isDestroyed } from '../node-response/pending-end.ts'
import { addCacheStatus, type CachedAnswer, leaveOutKnown, setAnswerHeaders } from './cached-answer.ts'
import { type HeldAnswer, holdAnswer } from './hold-answer.ts'
import { detachedExchange } from './node-renewal.ts'
import type { NodeCachedRequest } from './node-request.ts'
import type { ResponseCache } from './response-cache.ts'
import { type HandlerAnswer, noAnswer, unstorableReason } from './rules/answer-rules.ts'
import type { CachedRequest } from './rules/request-rules.ts'
import { trackHead } from './rules/track-head.ts'

/** A request and its response through Node's `http`, and how to run its handler. */
export interface NodeExchange<Original> {
  readonly request: NodeCachedRequest<Original>
  readonly response: ServerResponse
  /** Lets the handler answer, or passes an error on. */
  next(error?: unknown): void
  /** Runs the handler again, when the request has its answer already. As {@link HandlerRun.inBackground}. */
  rerun(signal: AbortSignal): Promise<HandlerAnswer>
}

/** Answers a request from the cache or by its handler. */
export function respondNode<Original>(responses: ResponseCache<Original>, exchange: NodeExchange<Original>): void {
  const { request, response, next } = exchange
  let captured: CapturedAnswer | undefined
  responses
    .respond(request, {
      forRequest() {
        request.hideConditions()
        captured = captureAnswer(response, responses.settings.maxBytes, request)
        next()
        return captured.answer
      },
      inBackground: (signal) => exchange.rerun(signal),
    })
    .then(
      (decision) => {
        if (decision.kind === 'answer') {
          const finish = () => applyAnswer(response, decision.answer)
          if (captured !== undefined) captured.held.send(finish)
          // Another middleware, a timeout for example, may have answered meanwhile.
          else if (!response.headersSent) response.end(finish() ?? undefined)
          return
        }
        if (captured !== undefined) {
          captured.held.send(() => {
            addCacheStatus(response, decision.cacheStatus)
            return withoutKnown(response, request)
          })
          return
        }
        if (!response.headersSent) addCacheStatus(response, decision.cacheStatus)
        next()
      },
      (error) => {
        if (captured === undefined) next(error)
        else captured.held.send(() => withoutKnown(response, request))
      },
    )
    // The rest of the application has thrown: pass the error on to it.
    .catch((error) => next(error))
}

/**
 * Runs an application again for a request that has its answer already. The application gets the same request without a
 * connection, and a response that is sent to no one.
 *
 * @param signal - closes that response when it is aborted, as a client that leaves: a handler that never answers would count
 *   as in flight for ever
 * @returns what the application answers
 */
export async function rerunApplication(
  application: (request: IncomingMessage, response: ServerResponse) => void,
  original: IncomingMessage,
  url: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<HandlerAnswer> {
  const { request, response, close } = detachedExchange(original, url)
  const answered = Promise.withResolvers<HandlerAnswer>()
  const capture = () => void captureAnswer(response, maxBytes, undefined).answer.then(answered.resolve)
  // Until the request reaches its route, an answer by middleware before the route counts.
  capture()
  reruns.set(request, capture)
  const leave = () => response.destroy()
  signal.addEventListener('abort', leave)
  application(request, response)
  const answer = await answered.promise
  signal.removeEventListener('abort', leave)
  // The events that the monitor, for example, waits for.
  if (!response.destroyed) response.emit('finish')
  close()
  return answer
}

/**
 * Whether {@link rerunApplication} made the request. If so, only the handler's answer from here on counts, without what
 * middleware in front, such as sessions, would add or change.
 */
export function continueRerun(request: IncomingMessage): boolean {
  const capture = reruns.get(request)
  capture?.()
  return capture !== undefined
}

const reruns = new WeakMap<IncomingMessage, () => void>()

interface CapturedAnswer {
  readonly answer: Promise<HandlerAnswer>
  readonly held: HeldAnswer
}

/** @param request - `undefined` for a rerun, whose client has its answer already */
function captureAnswer(response: ServerResponse, maxBytes: number, request: CachedRequest | undefined): CapturedAnswer {
  const answered = Promise.withResolvers<HandlerAnswer>()
  const changesOf = trackHead(response, ['setHeader', 'appendHeader', 'removeHeader'], response.getHeaders())
  const { statusMessage: messageBefore } = response
  let head: Omit<HandlerAnswer, 'body'> = noAnswer
  const held = holdAnswer(response, maxBytes, request === undefined, {
    onHead({ status, message, headers }) {
      head = { status, message: message === messageBefore ? undefined : message, ...changesOf(headers) }
    },
    onStream() {
      if (request === undefined) return { isCopied: true, isNeeded: true }
      addCacheStatus(response, 'posthaste; fwd=miss')
      const isCopied = unstorableReason(head, 0) === undefined
      if (!isCopied) answered.resolve({ ...head, body: undefined })
      return { isCopied, isNeeded: withoutKnown(response, request, head.status) === undefined }
    },
    onBody(body) {
      // They may be added until the end.
      const hasTrailers = ((response as { _trailer?: string })._trailer ?? '') !== ''
      answered.resolve({ ...head, hasTrailers, body })
    },
    onAbandon() {
      const fault = isBrokenOff(response) ? 'broken' : undefined
      answered.resolve({ ...head, body: undefined, isAbandoned: true, fault })
    },
  })
  // The client left while the store was asked, so its `close` has been missed.
  if (isDestroyed(response)) answered.resolve({ ...head, body: undefined, isAbandoned: true })
  return { answer: answered.promise, held }
}

/**
 * Makes the handler's own answer a 304 if the client has it already.
 *
 * @returns `null` for no body, `undefined` for the handler's body
 */
function withoutKnown(
  response: ServerResponse,
  request: CachedRequest,
  status: number = response.statusCode,
): null | undefined {
  if (!leaveOutKnown(request, status, response)) return undefined
  response.statusCode = 304
  response.statusMessage = ''
  return null
}

/** Sets the head of an answer and returns its body. */
function applyAnswer(
  response: ServerResponse,
  { status, message, headers, removed, body }: CachedAnswer,
): Buffer | null {
  if (response.statusCode !== status) {
    response.statusCode = status
    // A reason phrase that was set before belongs to another status.
    response.statusMessage = ''
  }
  if (message !== undefined) response.statusMessage = message
  setAnswerHeaders(response, headers, removed)
  return body
}
