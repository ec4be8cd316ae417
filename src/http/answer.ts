import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { nodeStream } from '../shared/platform/builtins.ts'
import { isDestroyed } from './node-response/pending-end.ts'

/** An answer for an adapter to send. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** A text, or its pieces, each sent as it comes. */
  readonly body: string | AsyncIterable<string>
}

/** The part of a request that our handlers read. */
export interface HttpRequest {
  readonly method: string
  /** The path without the query string, relative to where the routes are mounted. */
  readonly path: string
  readonly query: URLSearchParams
  header(name: string): string | undefined
  /** The framework's own request, for the user's `authorize`. */
  readonly original: unknown
  /** The connection, on Node. */
  readonly socket?: object | undefined
}

/** Our own pages must not be cached, indexed, or taken for another type. */
const privateHeaders = { 'cache-control': 'no-store', 'x-robots-tag': 'noindex', 'x-content-type-options': 'nosniff' }

export function answer(status: number, contentType: string, body: HttpAnswer['body'], headers = {}): HttpAnswer {
  return { status, headers: { 'content-type': contentType, ...privateHeaders, ...headers }, body }
}

export function json(status: number, document: unknown, contentType: string, headers: object): HttpAnswer {
  return answer(status, contentType, JSON.stringify(document), headers)
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  503: 'Service Unavailable',
}

/** Answers with a problem document (RFC 9457). */
export function problem(status: number, detail: string, headers = {}): HttpAnswer {
  return json(status, { title: titles[status], status, detail }, 'application/problem+json', headers)
}

/** @param url - the path and query as the client sent them */
export function readHttpRequest(
  request: { readonly method: string; readonly headers: IncomingHttpHeaders; readonly socket: object },
  url: string,
  path: string,
): HttpRequest {
  const { method, socket } = request
  const start = url.indexOf('?')
  const query = new URLSearchParams(start === -1 ? '' : url.slice(start))
  const header = (name: string) => request.headers[name] as string | undefined
  return { method, path, query, header, original: request, socket }
}

export async function sendAnswer(
  response: ServerResponse,
  method: string,
  { status, headers, body }: HttpAnswer,
): Promise<void> {
  // The user's `authorize` may have redirected, or a middleware for timeouts have answered, or the client have left.
  if (response.headersSent || isDestroyed(response)) return
  response.writeHead(status, { ...headers })
  if (typeof body === 'string' || method === 'HEAD') {
    response.end(method === 'HEAD' ? '' : body)
    return
  }
  const { Readable, promises } = nodeStream()
  await promises.pipeline(Readable.from(body), response).catch((error: NodeJS.ErrnoException) => {
    // The client left, which is not an error of the application.
    if (error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  })
}
