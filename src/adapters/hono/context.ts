import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Context, Next } from 'hono'
import type { HttpRequest } from '../../http/answer.ts'
import { unmatched } from '../../http/measure-request.ts'

export function toHttpRequest(c: Context): HttpRequest {
  const { method, path, url } = c.req
  return {
    method,
    path,
    query: new URL(url).searchParams,
    header: (name) => c.req.header(name),
    original: c,
    socket: nodeBindings(c).incoming?.socket,
  }
}

/** The pattern under which the handler that runs was registered; it tells routes apart that answer the same URL. */
export function currentPattern({ req }: Context): string {
  return req.matchedRoutes[req.routeIndex]?.path ?? ''
}

/**
 * Lets the next handlers answer. Their promise resolves to the context, which must not be returned: if no handler has
 * answered, Hono would take it for the answer.
 */
export function answerByNext(next: Next): Promise<void> {
  return next().then(withoutResult)
}

function withoutResult(): void {}

/**
 * The answer that the handlers have given. While no handler has answered, `c.res` must not be read: reading it makes an empty
 * 200, which hides Hono's error.
 *
 * @throws Error when no handler has answered
 */
export function givenAnswer(c: Context): Response {
  if (!c.finalized) throw new Error('No handler has returned a Response, or awaited `next()`')
  return c.res
}

/** Clears the response first: otherwise Hono would copy the headers of the old response into the new one. */
export function replaceResponse(c: Context, response: Response): void {
  if (response === c.res) return
  c.res = undefined
  c.res = response
  if (response.headers.has('content-encoding')) dropEncodingWithBody(c)
}

/**
 * Middleware around may replace an encoded response, for example by the page of an error. Hono copies the headers of the old
 * response into the new one, whose body is not encoded: remove those of the encoding.
 */
function dropEncodingWithBody(c: Context): void {
  const { get, set } = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(c), 'res') ?? {}
  if (get === undefined || set === undefined) return
  const copies = new WeakSet<object>()
  Object.defineProperty(c, 'res', {
    configurable: true,
    get() {
      const response: Response = get.call(c)
      noteCopies(response, copies)
      return response
    },
    set(response: Response | undefined) {
      const isPassedOn = response !== undefined && hasBodyOf(get.call(c), copies, response.body)
      set.call(c, response)
      if (isPassedOn) return
      delete (c as { res?: Response }).res
      if (response !== undefined) for (const name of ['content-encoding', 'content-length']) c.res.headers.delete(name)
    },
  })
}

/** Whether a body is, or may have been made of, that of the response. */
function hasBodyOf(response: Response, copies: WeakSet<object>, body: Response['body']): boolean {
  if (body === null || body === response.body) return body === response.body
  // Middleware that has read the body may have made the new body from its bytes.
  return copies.has(body) || response.bodyUsed || response.body?.locked === true
}

/** Adds the bodies of later clones of the response to `copies`. */
function noteCopies(response: Response, copies: WeakSet<object>): void {
  if (Object.hasOwn(response, 'clone')) return
  const clone = response.clone.bind(response)
  // Read-only in the responses of `@hono/node-server`.
  Object.defineProperty(response, 'clone', {
    value() {
      const copy = clone()
      if (copy.body !== null) copies.add(copy.body)
      return copy
    },
  })
}

/** Node's own request and response, if `@hono/node-server` runs the app. */
export function nodeBindings(c: Context): { incoming: IncomingMessage; outgoing?: ServerResponse } {
  return (c.env ?? {}) as { incoming: IncomingMessage; outgoing?: ServerResponse }
}

/**
 * The pattern of the route that answered. Hono's own `routePath` is the pattern of the last handler that ran. For a 404, or a
 * request that a middleware answered, that is the middleware's `*`; the route that would have answered comes after it.
 */
export function patternOf({ req }: Context, status: number): string {
  const routes = req.matchedRoutes
  const reached = routes[req.routeIndex]
  if (reached !== undefined && !isMiddleware(reached)) return reached.path
  const target = routes.slice(req.routeIndex + 1).find((route) => !isMiddleware(route))
  if (target !== undefined) return target.path
  return status === 404 || reached === undefined ? unmatched : reached.path
}

function isMiddleware({ method, path }: { method: string; path: string }): boolean {
  return method === 'ALL' && path.endsWith('*')
}
