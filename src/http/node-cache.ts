import { IncomingMessage, ServerResponse } from 'node:http'
import { addCacheStatus, putHeaders } from './answer-head.ts'
import { copyingStream } from './body-copy.ts'
import { type CachedRequest, type HandlerAnswer, unstorableReason } from './cache-rules.ts'
import { toBuffer } from './compressor.ts'
import { type FinishAnswer, intercept } from './intercept.ts'
import { headersForCache, type RequestHeaders, readHeaders } from './request-headers.ts'
import type { ResponseCache } from './response-cache.ts'
import type { CachedAnswer } from './stored-response.ts'

/** How a request through Node's request and response is answered. */
export interface NodeVisit<Original> {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The path and query as the client sent them. */
  readonly url: string
  readonly original: Original
  /** Lets the handler answer, or hands it an error. */
  next(error?: unknown): void
  /** Runs the handler once more, after the request was answered. */
  rerun(): Promise<HandlerAnswer>
}

/** Answers a request from the cache or by its handler. */
export function respondNode<Original>(responses: ResponseCache<Original>, visit: NodeVisit<Original>): void {
  const { response, next } = visit
  const headers = readHeaders(visit.request.headers)
  let captured: Captured | undefined
  responses
    .respond(describe(visit, headers), {
      inPlace() {
        headers.hideConditions()
        captured = captureAnswer(response, responses.settings.maxBytes)
        next()
        return captured.answer
      },
      detached: () => visit.rerun(),
    })
    .then(
      (outcome) => {
        if (outcome.kind === 'answer') {
          const finish = () => putAnswer(response, outcome.answer)
          if (captured !== undefined) captured.send(finish)
          // Something else, a timeout for one, may have answered meanwhile.
          else if (!response.headersSent) response.end(finish())
          return
        }
        note(response, outcome.cacheStatus)
        if (outcome.kind === 'pass') next()
        else captured?.sendOwn()
      },
      (error) => {
        if (captured === undefined) next(error)
        else captured.sendOwn()
      },
    )
}

/**
 * Runs an application once more for a request that was answered, and gives what it answers. The application sees a request
 * of the same client to the same URL, and a response that goes nowhere.
 */
export async function rerunApplication(
  application: (request: IncomingMessage, response: ServerResponse) => void,
  original: IncomingMessage,
  url: string,
  maxBytes: number,
): Promise<HandlerAnswer> {
  const request = new IncomingMessage(original.socket)
  Object.assign(request, {
    method: 'GET',
    url,
    headers: headersForCache(original.headers),
    httpVersion: original.httpVersion,
    complete: true,
  })
  request.push(null)
  reruns.add(request)
  const response = new ServerResponse(request)
  const captured = captureAnswer(response, maxBytes, true)
  application(request, response)
  const answer = await captured.answer
  // For whoever waits for the end, like the monitor.
  response.emit('close')
  return answer
}

/** Whether the request was made by {@link rerunApplication}. */
export function isRerun(request: IncomingMessage): boolean {
  return reruns.has(request)
}

const reruns = new WeakSet<IncomingMessage>()

/** What a handler answered, kept back until it is told what to send. */
export interface Captured {
  readonly answer: Promise<HandlerAnswer>
  /** Sends something else. */
  send(finish: FinishAnswer): void
  /** Sends what the handler answered. */
  sendOwn(): void
}

/**
 * Keeps back what a handler answers in one piece. An answer in pieces is sent as it comes, and copied.
 *
 * @param isDetached - nobody is there to send pieces to
 */
export function captureAnswer(response: ServerResponse, maxBytes: number, isDetached = false): Captured {
  const before = response.getHeaders()
  const answered = Promise.withResolvers<HandlerAnswer>()
  const decided = Promise.withResolvers<FinishAnswer>()
  let whole: Buffer | string = ''
  const head = () => ({ status: response.statusCode, headers: ownHeaders(response, before) })
  const abandon = () => answered.resolve({ ...head(), body: undefined, isAbandoned: true })
  response.once('close', abandon)

  intercept(response, {
    whole(body) {
      whole = body
      const bytes = toBuffer(body)
      answered.resolve({ ...head(), body: bytes.length > maxBytes ? undefined : bytes })
      return decided.promise
    },
    pieces() {
      const answer = head()
      note(response, 'posthaste; fwd=miss')
      if (unstorableReason(answer, 0) !== undefined && !isDetached) {
        answered.resolve({ ...answer, body: undefined })
        return undefined
      }
      return copyingStream(maxBytes, (body) => answered.resolve({ ...answer, body }), !isDetached)
    },
  })
  return {
    answer: answered.promise,
    send: decided.resolve,
    sendOwn: () => decided.resolve(() => whole),
  }
}

function describe<Original>(
  { request, url, original }: NodeVisit<Original>,
  { header }: RequestHeaders,
): CachedRequest<Original> {
  const start = url.indexOf('?')
  return {
    method: request.method as string,
    path: start === -1 ? url : url.slice(0, start),
    query: start === -1 ? '' : url.slice(start + 1),
    header,
    original,
  }
}

/**
 * What the handler put into the head. What middleware before it had put there comes anew with each request; only what may
 * forbid to store the answer counts whoever said it.
 */
function ownHeaders(response: ServerResponse, before: NodeJS.Dict<unknown>): HandlerAnswer['headers'] {
  const headers = Object.entries(response.getHeaders()).filter(
    ([name, value]) => before[name] !== value || decisive.has(name),
  )
  return headers.map(([name, value]) => [name, String(value)] as const)
}

const decisive: ReadonlySet<string> = new Set([
  ...['set-cookie', 'cache-control', 'pragma', 'expires', 'vary', 'content-encoding'],
])

/** Puts an answer into the head, and gives its body. */
function putAnswer(response: ServerResponse, { status, headers, body }: CachedAnswer): Buffer | undefined {
  response.statusCode = status
  putHeaders(response, headers)
  return body ?? undefined
}

function note(response: ServerResponse, cacheStatus: string): void {
  if (response.headersSent && !Object.hasOwn(response, 'headersSent')) return
  addCacheStatus(response, cacheStatus)
}
