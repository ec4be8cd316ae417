import { expectObject } from '../../shared/arguments.ts'
import { isBun } from '../../shared/platform/runtime.ts'
import { mayHideType, showTextType } from '../hidden-type.ts'
import { readReady } from '../ready-body.ts'
import { isSentOtherwise } from '../sent-response.ts'
import { BodyCopy } from './body-copy.ts'
import { type CachedAnswer, leaveOutKnown, setAnswerHeaders, type WritableHead } from './cached-answer.ts'
import type { HandlerRun } from './decisions.ts'
import type { CheckedHttpCacheOptions, ResponseStore } from './http-cache-options.ts'
import { createFromSettings, type ResponseCache } from './response-cache.ts'
import { type HandlerAnswer, noAnswer, unstorableReason } from './rules/answer-rules.ts'
import type { CachedRequest } from './rules/request-rules.ts'

/** A fetch-style handler. */
export type FetchHandler = (request: Request) => Response | Promise<Response>

/** A handler that answers from the cache where it can. */
export function createFetchCache(
  cache: ResponseStore,
  settings: CheckedHttpCacheOptions<Request>,
  handler: FetchHandler,
): (request: Request) => Promise<Response> {
  const responses = createFromSettings(cache, settings)
  const run = async (request: Request) => {
    const response = await handler(request)
    expectObject(response, 'handler()', ['clone'], 'a Response')
    return response
  }
  return (request) => respondFetch(responses, { request, original: request, route: '', run, rerun: run })
}

/** A request of fetch and how to run its handler. */
interface FetchExchange<Original> {
  readonly request: Request
  /** The framework's own request. */
  readonly original: Original
  /** Tells routes apart that answer the same URL. */
  readonly route: string
  /** The headers that middleware has set for this request before its handler runs. */
  readonly prior?: Headers | undefined
  /** Runs the handler for this request. */
  run(request: Request): Promise<Response>
  /** As {@link HandlerRun.inBackground}. */
  readonly rerun?: ((request: Request) => Promise<Response | undefined>) | undefined
}

/** Answers a request from the cache or by its handler. */
export async function respondFetch<Original>(
  responses: ResponseCache<Original>,
  { request, original, route, prior, run, rerun }: FetchExchange<Original>,
): Promise<Response> {
  const { maxBytes } = responses.settings
  const streaming = Promise.withResolvers<Response>()
  let handlerResponse: Response | undefined
  let hasFailed = false
  const cachedRequest = toCachedRequest(request, original, route)
  const responding = responses.respond(cachedRequest, {
    async forRequest() {
      // Some servers abort it only if it was read before the client left.
      const signal = signalOf(request)
      const given = await run(unconditional(request))
      // After an error, Hono returns its page of that error here. It may have been sent already.
      if (hasFailed) return { ...noAnswer, isAbandoned: true }
      const { response, answer, isStreaming } = await captureResponse(given, maxBytes, prior, request)
      handlerResponse = response
      if (isStreaming)
        streaming.resolve(withCacheStatus(withoutKnown(response, cachedRequest, readToEnd), 'posthaste; fwd=miss'))
      // A handler that was stopped because its client left may give less than its answer, as if that were all.
      return answer.then((ended) => (signal?.aborted ? { ...ended, isAbandoned: true } : ended))
    },
    inBackground:
      rerun &&
      (async () => {
        const rerunResponse = await rerun(unconditional(request))
        if (rerunResponse === undefined) return undefined
        const { response, answer } = await captureResponse(rerunResponse, maxBytes, prior, request)
        await drain(response)
        return answer
      }),
  })
  responding.catch(() => {
    hasFailed = true
  })
  const decision = await Promise.race([responding, streaming.promise])
  if (decision instanceof Response) return decision
  if (decision.kind === 'bypass') return withCacheStatus(await run(request), decision.cacheStatus)
  if (decision.kind === 'handled') {
    const own = withoutKnown(handlerResponse as Response, cachedRequest, cancel)
    return withCacheStatus(own, decision.cacheStatus)
  }
  return toResponse(decision.answer, handlerResponse?.headers ?? prior)
}

/** @param before - the headers that the answer is added to */
function toResponse({ status, message, headers, removed, body }: CachedAnswer, before: Headers | undefined): Response {
  const merged = new Headers(before)
  setAnswerHeaders(headOf(merged), headers, removed)
  // Without this, servers would add a type to an empty body.
  const content = body === null || body.length === 0 ? null : (body as Buffer<ArrayBuffer>)
  // The server adds the length. If it were set here, it would stay when middleware replaces the body.
  if (content !== null) merged.delete('content-length')
  const head = { status, statusText: message ?? '', headers: merged }
  // Bun would add a type to bytes, but adds none to a stream.
  const isUntyped = isBun && !merged.has('content-type')
  return new Response(content && isUntyped ? ReadableStream.from([content]) : content, head)
}

/** The handler's own response, or a 304 if the client has it already. */
function withoutKnown(response: Response, request: CachedRequest, discard: (response: Response) => unknown): Response {
  const headers = new Headers(response.headers)
  if (!leaveOutKnown(request, response.status, headOf(headers))) return response
  discard(response)
  return new Response(null, { status: 304, headers })
}

export function headOf(headers: Headers): WritableHead {
  return {
    getHeaderNames: () => [...headers.keys()],
    getHeader: (name) => headers.get(name) ?? undefined,
    setHeader: (name, value) => headers.set(name, value),
    removeHeader: (name) => headers.delete(name),
  }
}

export function toCachedRequest<Original>(
  request: Request,
  original: Original,
  route: string,
): CachedRequest<Original> {
  const { method, headers } = request
  const url = request.url.split('#', 1)[0] as string
  const start = url.indexOf('?')
  return {
    method,
    // With the origin, because the host in the URL may differ from `Host`, and handlers build links from either.
    path: start === -1 ? url : url.slice(0, start),
    query: start === -1 ? '' : url.slice(start + 1),
    route,
    header: (name) => headers.get(name),
    names: () => [...headers.keys()],
    original,
  }
}

/** `undefined` for a request of a server's own class that has no signal. */
function signalOf(request: Request): AbortSignal | undefined {
  try {
    return request.signal
  } catch {
    return undefined
  }
}

/** The request without conditions: if the handler answered 304 by itself, there would be no body to store. */
function unconditional(request: Request): Request {
  if (!request.headers.has('if-none-match') && !request.headers.has('if-modified-since')) return request
  const headers = new Headers(request.headers)
  headers.delete('if-none-match')
  headers.delete('if-modified-since')
  try {
    return new Request(request, { headers })
  } catch {
    return withHeaders(request, headers)
  }
}

/** A request of a server's own class, as in srvx and `@whatwg-node/server`, is not accepted by the runtime's `Request`. */
function withHeaders(request: Request, headers: Headers): Request {
  return new Proxy(request, {
    get(target, name) {
      if (name === 'headers') return headers
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

interface CapturedResponse {
  /** The same response, its body not read yet. */
  readonly response: Response
  readonly answer: Promise<HandlerAnswer>
  /** Whether the answer resolves only after the response was read. */
  readonly isStreaming: boolean
}

async function captureResponse(
  response: Response,
  maxBytes: number,
  prior: Headers | undefined,
  request: Request,
): Promise<CapturedResponse> {
  const { status, statusText } = response
  const headers = [...response.headers]
  const answerHead = { status, message: statusText || undefined, headers, ...changesSince(prior, response.headers) }
  const settled = (unread: Response, bytes: Buffer | undefined): CapturedResponse => ({
    response: unread,
    answer: Promise.resolve({ ...answerHead, body: bytes }),
    isStreaming: false,
  })
  if (isSentOtherwise(response)) return settled(response, undefined)
  const isError = status >= 500
  if (!isError && unstorableReason({ status, headers }, 0) !== undefined) return settled(response, undefined)
  const { body } = response
  if (body === null) return settled(response, Buffer.alloc(0))

  const ready = await readReady(body)
  const head = { status, statusText, headers }
  if (ready.isWhole) {
    const { bytes } = ready
    const unread = new Response(bytes as Buffer<ArrayBuffer>, head)
    if (showTextType(unread.headers, response, bytes)) return captureResponse(unread, maxBytes, prior, request)
    return settled(unread, bytes.length > maxBytes ? undefined : bytes)
  }
  const ended = Promise.withResolvers<HandlerAnswer>()
  const copy = new BodyCopy(maxBytes)
  const pieces = ready.pieces[Symbol.asyncIterator]()
  const abandon = (fault?: 'broken') => ended.resolve({ ...answerHead, body: undefined, isAbandoned: true, fault })
  const source = {
    async pull(controller: ReadableStreamDefaultController<Uint8Array>) {
      try {
        const { done, value } = await pieces.next()
        if (!done) {
          copy.add(value)
          if (copy.isTooLong) ended.resolve({ ...answerHead, body: undefined })
          controller.enqueue(value)
          return
        }
        ended.resolve({ ...answerHead, body: copy.read() })
        controller.close()
      } catch (error) {
        abandon(signalOf(request)?.aborted ? undefined : 'broken')
        controller.error(error)
      }
    },
    cancel() {
      ready.cancel()
      abandon()
    },
  }
  // A slow client must not slow down the handler, because other requests wait for its answer: buffer as much as is stored.
  const copied = new ReadableStream<Uint8Array>(source, new ByteLengthQueuingStrategy({ highWaterMark: maxBytes }))
  return { response: new Response(copied, head), answer: ended.promise, isStreaming: true }
}

/** How the handler has changed the headers that were set before it. */
function changesSince(prior: Headers | undefined, headers: Headers): Pick<HandlerAnswer, 'own' | 'removed'> {
  if (prior === undefined) return {}
  const own = [...headers.keys()].filter((name) => headers.get(name) !== prior.get(name))
  return { own: new Set(own), removed: [...prior.keys()].filter((name) => !headers.has(name)) }
}

async function drain({ body }: Response): Promise<void> {
  if (body !== null && !body.locked) await body.pipeTo(new WritableStream())
}

/** Reads the body to its end, which completes its copy. */
function readToEnd(response: Response): void {
  drain(response).catch(() => {})
}

function cancel({ body }: Response): void {
  body?.cancel().catch(() => {})
}

function withCacheStatus(response: Response, cacheStatus: string): Response {
  if (isSentOtherwise(response)) return response
  if (mayHideType(response)) {
    response.headers.append('cache-status', cacheStatus)
    return response
  }
  const { status, statusText, body } = response
  const headers = new Headers(response.headers)
  headers.append('cache-status', cacheStatus)
  return new Response(body, { status, statusText, headers })
}
