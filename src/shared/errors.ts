/** What every error of this library has in common: a literal `code`, listed in `docs/errors.md`. */
export abstract class PosthasteError extends Error {
  /** The same for every error of a class, and never changed within a major version. */
  abstract readonly code: `ERR_${string}`

  override get name(): string {
    return this.constructor.name
  }
}

/**
 * An error that a client's input caused. Express, Fastify, Koa and Hono read these properties and answer 400 without an
 * adapter; {@link problemDetails} serves the rest.
 */
export abstract class ClientInputError extends PosthasteError {
  readonly status = 400
  readonly statusCode = 400
  /** The message may be shown to the client. */
  readonly expose = true

  /** The answer to send: 400 with a problem document, as {@link problemDetails} makes it. */
  getResponse(): Response {
    const { status, headers, body } = describe(this)
    return new Response(body, { status, headers })
  }
}

/** A finished HTTP answer, to be written out by whatever server there is. */
export interface ProblemDetails {
  readonly status: number
  readonly headers: { readonly 'content-type': 'application/problem+json' }
  /** JSON text: `title`, `status`, `detail`, `code`, and `issues` where the error has some. */
  readonly body: string
}

/**
 * The RFC 9457 problem document of an error that a client's input caused, and `undefined` for any other error.
 *
 * @example
 * ```ts
 * const problem = problemDetails(error)
 * if (problem) response.writeHead(problem.status, problem.headers).end(problem.body)
 * ```
 */
export function problemDetails(error: unknown): ProblemDetails | undefined {
  return error instanceof ClientInputError ? describe(error) : undefined
}

function describe(error: ClientInputError & { readonly issues?: unknown }): ProblemDetails {
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

/** `ERR_CLOSED`: the cache, monitor or pool was used after its `close()`. */
export class ClosedError extends PosthasteError {
  readonly code = 'ERR_CLOSED'
}

/** `ERR_PEER_MISSING`: a feature needs a package that is not installed; the message has the line to type. */
export class PeerMissingError extends PosthasteError {
  readonly code = 'ERR_PEER_MISSING'
}

/**
 * Loads an optional peer, and tells what to install when it is not there.
 *
 * @param load - imports the package, as in `() => import('keyv')`
 * @param what - what needs it, for the message
 * @param install - the command to type
 * @throws {@link PeerMissingError} when the package cannot be found; whatever else the import throws, unchanged
 */
export async function loadPeer<Module>(load: () => Promise<Module>, what: string, install: string): Promise<Module> {
  try {
    return await load()
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new PeerMissingError(`${what} needs a package that is not installed: ${install}`, { cause })
  }
}
