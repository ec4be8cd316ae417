import type { ErrorHandler } from 'hono'
import { wrongFramework } from '../../http/expect-call.ts'
import { problemDetails } from '../../shared/errors.ts'

/**
 * Answers errors that the client's input caused with 400 and a problem document (RFC 9457), answers an `HTTPException` with its
 * own response, and throws every other error.
 *
 * @example
 * ```ts
 * app.onError(answerErrors())
 * ```
 */
export function answerErrors(): ErrorHandler {
  return (error, c) => {
    if (c?.req?.raw === undefined) throw wrongFramework('answerErrors', 'hono')
    const problem = problemDetails(error)
    if (problem !== undefined) return new Response(problem.body, { status: problem.status, headers: problem.headers })
    if ('getResponse' in error) return error.getResponse()
    throw error
  }
}
