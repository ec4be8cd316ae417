import type { IncomingHttpHeaders } from 'node:http'

/** The headers of a Node request that is to be answered from a cache. */
export interface RequestHeaders {
  header(name: string): string | undefined
  /** Takes what asks for a 304 away from the handler: one that answers it by itself would give nothing to store. */
  hideConditions(): void
}

export function readHeaders(headers: IncomingHttpHeaders): RequestHeaders {
  const hidden: IncomingHttpHeaders = {}
  return {
    header(name) {
      // HTTP/2 has a field of its own for the host.
      const value = headers[name] ?? hidden[name] ?? (name === 'host' ? headers[':authority'] : undefined)
      return value === undefined ? undefined : String(value)
    },
    hideConditions() {
      for (const name of conditions) {
        const value = headers[name]
        if (value === undefined) continue
        hidden[name] = value as string
        delete headers[name]
      }
    },
  }
}

/** The headers for a handler that runs once more, for the cache alone: without conditions, and for a body as it is. */
export function headersForCache(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const rest = { ...headers }
  for (const name of [...conditions, 'accept-encoding']) delete rest[name]
  return rest
}

const conditions = ['if-none-match', 'if-modified-since']
