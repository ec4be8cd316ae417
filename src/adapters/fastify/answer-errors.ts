import { wrongFramework } from '../../http/expect-call.ts'
import type { HookReply } from '../../http/freshness/reply-freshness.ts'
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
export function answerErrors(): <Reply extends HookReply>(
  error: unknown,
  request: unknown,
  reply: Reply,
) => Reply | Promise<never> {
  return (error, _request, reply) => {
    if (typeof reply?.code !== 'function') throw wrongFramework('answerErrors', 'fastify')
    const problem = problemDetails(error)
    if (problem === undefined) {
      if (error instanceof Error) throw error
      // If a value that is no `Error` were thrown here, Fastify would send it as an answer with status 200.
      return Promise.reject(error)
    }
    reply.code(problem.status)
    reply.headers(problem.headers)
    reply.send(problem.body)
    return reply
  }
}
