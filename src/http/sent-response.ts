/**
 * Whether a `Response` only tells its server that the client is answered otherwise: through Node's response, as
 * `RESPONSE_ALREADY_SENT` of `@hono/node-server`, or by an upgrade. The server must get that object itself.
 */
export function isSentOtherwise({ status, headers }: Pick<Response, 'status' | 'headers'>): boolean {
  return status < 200 || headers.has('x-hono-already-sent')
}
