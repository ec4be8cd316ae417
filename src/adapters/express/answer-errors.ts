import { wrongFramework } from '../../http/expect-call.ts'
import { problemDetails } from '../../shared/errors.ts'
import type { ErrorHandler } from './middleware.ts'

/**
 * Answers errors that the client's input caused with 400 and a problem document (RFC 9457), and passes every other error to
 * the next error handler. Use it last.
 */
export function answerErrors(): ErrorHandler {
  return (error, _request, response, next) => {
    if (typeof next !== 'function') throw wrongFramework('answerErrors', 'express')
    const problem = problemDetails(error)
    if (problem === undefined || response.headersSent) return next(error)
    const length = Buffer.byteLength(problem.body)
    response.writeHead(problem.status, { ...problem.headers, 'content-length': length }).end(problem.body)
  }
}
