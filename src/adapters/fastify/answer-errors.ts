import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { wrongFramework } from '../../http/expect-call.ts'
import { problemDetails } from '../../shared/errors.ts'

/**
 * Answers errors that the client's input caused with 400 and a problem document (RFC 9457), and throws every other error, which
 * goes to the error handler of the parent instance.
 *
 * @example
 * ```ts
 * app.setErrorHandler(answerErrors())
 * ```
 */
export function answerErrors(): (
  this: FastifyInstance,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
) => FastifyReply {
  return (error, _request, reply) => {
    if (typeof reply?.code !== 'function') throw wrongFramework('answerErrors', 'fastify')
    const problem = problemDetails(error)
    if (problem === undefined) throw error
    return reply.code(problem.status).headers(problem.headers).send(problem.body)
  }
}
