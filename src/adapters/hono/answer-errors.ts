import type { ErrorHandler } from 'hono'
import { wrongFramework } from '../../http/expect-call.ts'
import { mayHideType } from '../../http/hidden-type.ts'
import { expectFunction } from '../../shared/arguments.ts'
import { problemDetails } from '../../shared/errors.ts'

/**
 * Answers errors that the client's input caused with 400 and a problem document (RFC 9457). Hono has one error handler: give
 * yours as `otherwise`.
 *
 * @param otherwise - answers every other error. Without it, an `HTTPException` is answered with its own response, and the
 *   others are thrown: to the application around this one, or to the server, which may answer 500 without a log or a body
 *
 * @example
 * ```ts
 * app.onError(
 *   answerErrors((error, c) => {
 *     if (error instanceof HTTPException) return error.getResponse()
 *     console.error(error)
 *     return c.text('Internal Server Error', 500)
 *   }),
 * )
 * ```
 */
export function answerErrors(otherwise?: ErrorHandler): ErrorHandler {
  if (otherwise !== undefined) expectFunction(otherwise, 'otherwise')
  return (error, c) => {
    if (c?.req?.raw === undefined) throw wrongFramework('answerErrors', 'hono')
    const problem = problemDetails(error)
    // `newResponse` keeps the headers that middleware has set.
    if (problem !== undefined) return c.newResponse(problem.body, 400, { ...problem.headers })
    if (otherwise !== undefined) return otherwise(error, c)
    if (!('getResponse' in error)) throw error
    const response = error.getResponse()
    // Bun would forget the type of the message once the body is read.
    if (mayHideType(response) && (error as { res?: unknown }).res === undefined)
      return c.newResponse(error.message, response)
    return c.newResponse(response.body, response)
  }
}
