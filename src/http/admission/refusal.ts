import type { ServerResponse } from 'node:http'

const body = JSON.stringify({
  type: 'about:blank',
  title: 'Service Unavailable',
  status: 503,
  detail: 'The server has more requests than it can serve; try again later',
})

/** The seconds of `Retry-After` for a number from 0 to 1: the least, or up to three times as much. */
export function retryAfterOf(leastSeconds: number, random: number): number {
  return leastSeconds + Math.floor(random * (2 * leastSeconds + 1))
}

const headers = {
  'content-type': 'application/problem+json',
  'content-length': String(body.length),
  'cache-control': 'no-store',
}
/** The form that Node writes fastest: a flat list in which names and values alternate. */
const flatHeaders = [...Object.entries(headers).flat(), 'retry-after']

/** Turns a request away: 503 with a problem document (RFC 9457), on a connection that stays open. Costs as little as it can. */
export function sendRefusal(response: ServerResponse, retryAfterSeconds: number): void {
  if (response.headersSent) return
  // After an upgrade, nobody reads from the connection any more.
  const { upgrade } = (response.req ?? {}) as { readonly upgrade?: boolean }
  if (upgrade) response.once('finish', () => response.socket?.destroy())
  response.writeHead(503, [...flatHeaders, String(retryAfterSeconds)])
  response.end(body)
}

/** The same as a `Response`. */
export function refusalResponse(retryAfterSeconds: number): Response {
  return new Response(body, { status: 503, headers: { ...headers, 'retry-after': String(retryAfterSeconds) } })
}
