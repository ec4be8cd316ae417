import type { CompressibleHead } from './encoding-plan.ts'

/** A request, as far as compression depends on it: one of `fetch`, of Node, of Express, of Fastify. */
export interface CompressibleRequest {
  readonly method?: string | undefined
  readonly headers: Pick<Headers, 'get'> | Readonly<Record<string, string | readonly string[] | undefined>>
}

export function requestHead({
  method,
  headers,
}: CompressibleRequest): Pick<CompressibleHead, 'method' | 'acceptEncoding'> {
  const accepted = isHeaders(headers) ? headers.get('accept-encoding') : headers['accept-encoding']
  return { method, acceptEncoding: typeof accepted === 'object' ? accepted?.join(', ') : accepted }
}

function isHeaders(headers: CompressibleRequest['headers']): headers is Pick<Headers, 'get'> {
  return typeof headers.get === 'function'
}
