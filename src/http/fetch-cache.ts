import { BodyCopy } from './body-copy.ts'
import { type CachedRequest, type HandlerAnswer, unstorableReason } from './cache-rules.ts'
import type { HttpCacheOptions, ResponseStore } from './http-cache-options.ts'
import { readReady } from './ready-body.ts'
import { createResponseCache, type ResponseCache } from './response-cache.ts'

/** A fetch-style handler. */
export type FetchHandler = (request: Request) => Response | Promise<Response>

/**
 * The same handler, its responses cached.
 *
 * @throws TypeError or RangeError for a wrong option
 */
export function cacheFetchHandler<Name extends string, Tag extends string>(
  cache: ResponseStore<Name, Tag>,
  handler: FetchHandler,
  options: HttpCacheOptions<Request, Name, Tag> = {},
): (request: Request) => Promise<Response> {
  const responses = createResponseCache(cache, options)
  const run = async (request: Request) => handler(request)
  return (request) => respondFetch(responses, request, request, run, run)
}

/**
 * Answers a request from the cache or by its handler.
 *
 * @param original - the framework's own request
 * @param run - runs the handler for this request
 * @param rerun - runs it once more, after the request was answered
 */
export async function respondFetch<Original>(
  responses: ResponseCache<Original>,
  request: Request,
  original: Original,
  run: (request: Request) => Promise<Response>,
  rerun: (request: Request) => Promise<Response>,
): Promise<Response> {
  const { maxBytes } = responses.settings
  const streaming = Promise.withResolvers<Response>()
  let given: Response | undefined
  const responding = responses.respond(describe(request, original), {
    async inPlace() {
      const { response, answer, isStreaming } = await keep(await run(unconditional(request)), maxBytes)
      given = response
      if (isStreaming) streaming.resolve(withStatus(response, 'posthaste; fwd=miss'))
      return answer
    },
    async detached() {
      const { response, answer } = await keep(await rerun(unconditional(request)), maxBytes)
      await drain(response)
      return answer
    },
  })
  const outcome = await Promise.race([responding, streaming.promise])
  if (outcome instanceof Response) {
    responding.catch(() => {})
    return outcome
  }
  if (outcome.kind === 'pass') return withStatus(await run(request), outcome.cacheStatus)
  if (outcome.kind === 'own') return withStatus(given as Response, outcome.cacheStatus)
  const { status, headers, body } = outcome.answer
  return new Response(body as Buffer<ArrayBuffer> | null, { status, headers: headers as [string, string][] })
}

function describe<Original>(request: Request, original: Original): CachedRequest<Original> {
  const { origin, pathname, search } = new URL(request.url)
  const { method, headers } = request
  // A client may name another host in the URL than in `Host`, and the handler may make links of either.
  const path = origin + pathname
  return { method, path, query: search.slice(1), header: (name) => headers.get(name), original }
}

/** A handler that answers 304 by itself would give nothing to store. */
function unconditional(request: Request): Request {
  if (!request.headers.has('if-none-match') && !request.headers.has('if-modified-since')) return request
  const headers = new Headers(request.headers)
  headers.delete('if-none-match')
  headers.delete('if-modified-since')
  return new Request(request, { headers })
}

interface Kept {
  /** The same response, its body still to be read. */
  readonly response: Response
  readonly answer: Promise<HandlerAnswer>
  /** Whether the answer is there only when the response has been read. */
  readonly isStreaming: boolean
}

async function keep(response: Response, maxBytes: number): Promise<Kept> {
  const { status, statusText, body } = response
  const headers = [...response.headers]
  const settled = (kept: Response, bytes: Buffer | undefined): Kept => ({
    response: kept,
    answer: Promise.resolve({ status, headers, body: bytes }),
    isStreaming: false,
  })
  if (body === null) return settled(response, Buffer.alloc(0))
  const isError = status >= 500
  if (!isError && unstorableReason({ status, headers }, 0) !== undefined) return settled(response, undefined)

  const ready = await readReady(body)
  const head = { status, statusText, headers }
  if (ready.isWhole) {
    const { bytes } = ready
    return settled(new Response(bytes as Buffer<ArrayBuffer>, head), bytes.length > maxBytes ? undefined : bytes)
  }
  const ended = Promise.withResolvers<HandlerAnswer>()
  const copy = new BodyCopy(maxBytes)
  const pieces = ready.pieces[Symbol.asyncIterator]()
  const abandon = () => ended.resolve({ status, headers, body: undefined, isAbandoned: true })
  const copied = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await pieces.next()
        if (!done) {
          copy.add(value)
          if (copy.isTooLong) ended.resolve({ status, headers, body: undefined })
          controller.enqueue(value)
          return
        }
        ended.resolve({ status, headers, body: copy.read() })
        controller.close()
      } catch (error) {
        abandon()
        controller.error(error)
      }
    },
    cancel() {
      ready.cancel()
      abandon()
    },
  })
  return { response: new Response(copied, head), answer: ended.promise, isStreaming: true }
}

async function drain({ body }: Response): Promise<void> {
  if (body !== null && !body.locked) await body.pipeTo(new WritableStream())
}

function withStatus(response: Response, cacheStatus: string): Response {
  const { status, statusText, body } = response
  const headers = new Headers(response.headers)
  headers.append('cache-status', cacheStatus)
  return new Response(body, { status, statusText, headers })
}
