/** The base class of all errors of this library. `docs/errors.md` lists the codes. */
export abstract class PosthasteError extends Error {
  /** Each class has one code, which does not change within a major version. */
  abstract readonly code: `ERR_${string}`

  override get name(): string {
    return this.constructor.name
  }
}

/**
 * An error that a client's input caused. Express, Fastify, Koa and Hono read these properties and answer 400 without an
 * adapter. Other servers can use {@link problemDetails}.
 */
export abstract class ClientInputError extends PosthasteError {
  readonly status = 400
  readonly statusCode = 400
  /** The message may be shown to the client. */
  readonly expose = true

  /** The response to send: status 400 and the problem document of {@link problemDetails}. */
  getResponse(): Response {
    const { status, headers, body } = createProblemDetails(this)
    return new Response(body, { status, headers })
  }
}

/** A complete HTTP response, for any server. */
export interface ProblemDetails {
  readonly status: number
  readonly headers: { readonly 'content-type': 'application/problem+json' }
  /** JSON text with `title`, `status`, `detail` and `code`, and with `issues` if the error has them. */
  readonly body: string
}

/**
 * Returns the RFC 9457 problem document of an error that a client's input caused, and `undefined` for any other error.
 *
 * @example
 * ```ts
 * const problem = problemDetails(error)
 * if (problem) response.writeHead(problem.status, problem.headers).end(problem.body)
 * ```
 */
export function problemDetails(error: unknown): ProblemDetails | undefined {
  return error instanceof ClientInputError ? createProblemDetails(error) : undefined
}

function createProblemDetails(error: ClientInputError & { readonly issues?: unknown }): ProblemDetails {
  return {
    status: error.status,
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify({
      title: 'Bad Request',
      status: error.status,
      detail: error.message,
      code: error.code,
      issues: error.issues,
    }),
  }
}

/** `ERR_CLOSED`: the cache was used after its `close()`. */
export class ClosedError extends PosthasteError {
  readonly code = 'ERR_CLOSED'
}

/** `ERR_PEER_MISSING`: a feature needs a package that is not installed; the message has the line to type. */
export class PeerMissingError extends PosthasteError {
  readonly code = 'ERR_PEER_MISSING'
}

/** The message of an error, or a text for any other thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
