/** A finished HTTP answer, to be written out by an adapter. */
export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** Text, or pieces of text to be written one after another. */
  readonly body: string | AsyncIterable<string>
}

/** What our handlers need to know of a request. */
export interface HttpRequest {
  readonly method: string
  /** The path, without the query string, as the route's option names it. */
  readonly path: string
  readonly query: URLSearchParams
  header(name: string): string | undefined
  /** The framework's own request, for the user's `authorize`. */
  readonly original: unknown
  /** Its connection, on Node. */
  readonly socket?: object | undefined
}

/** Never cached, never indexed: what our own pages answer with. */
const privateHeaders = { 'cache-control': 'no-store', 'x-robots-tag': 'noindex', 'x-content-type-options': 'nosniff' }

export function answer(status: number, contentType: string, body: HttpAnswer['body'], headers = {}): HttpAnswer {
  return { status, headers: { 'content-type': contentType, ...privateHeaders, ...headers }, body }
}

export function json(status: number, document: unknown, contentType = 'application/json', headers = {}): HttpAnswer {
  return answer(status, contentType, JSON.stringify(document), headers)
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  503: 'Service Unavailable',
}

/** A problem document (RFC 9457). */
export function problem(status: number, detail: string, headers = {}): HttpAnswer {
  return json(status, { title: titles[status], status, detail }, 'application/problem+json', headers)
}
