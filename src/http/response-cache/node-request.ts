import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { CachedRequest } from './rules/request-rules.ts'

/** A request through Node's `http` or `http2`. */
export class NodeCachedRequest<Original> implements CachedRequest<Original> {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly route: string
  readonly original: Original
  readonly #headers: IncomingHttpHeaders
  #hidden: IncomingHttpHeaders | undefined

  /**
   * @param url - path and query as the client sent them, or as its route sees them
   * @param rewritten - the other of the two, if they differ
   */
  constructor(
    { method, headers }: Pick<IncomingMessage, 'method' | 'headers'>,
    url: string,
    original: Original,
    route: string,
    rewritten: string,
  ) {
    const start = url.indexOf('?')
    const path = start === -1 ? url : url.slice(0, start)
    this.method = method as string
    this.path = rewritten === url ? path : `${path} ${rewritten}`
    this.query = start === -1 ? '' : url.slice(start + 1)
    this.route = route
    this.original = original
    this.#headers = headers
  }

  names(): string[] {
    return Object.keys(this.#headers)
  }

  header(name: string): string | undefined {
    // HTTP/2 has the host in a pseudo-header.
    const pseudo = name === 'host' ? this.#headers[':authority'] : undefined
    const value = this.#headers[name] ?? this.#hidden?.[name] ?? pseudo
    return value === undefined ? undefined : String(value)
  }

  /** Hides the conditions from the handler: if it answered 304 by itself, there would be no body to store. */
  hideConditions(): void {
    this.#hidden = {}
    for (const name of conditions) {
      const value = this.#headers[name]
      if (value === undefined) continue
      this.#hidden[name] = value as string
      delete this.#headers[name]
    }
  }
}

/** The headers for a handler that runs in the background: without conditions and `Accept-Encoding`. */
export function backgroundHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const rest = { ...headers }
  for (const name of hiddenHeaders) delete rest[name]
  return rest
}

export function isHiddenFromHandler(name: string): boolean {
  return hiddenHeaders.includes(name.toLowerCase())
}

const conditions = ['if-none-match', 'if-modified-since']
const hiddenHeaders = [...conditions, 'accept-encoding']
