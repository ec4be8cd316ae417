import type { ServerResponse } from 'node:http'
import { runWork } from '../../shared/scope/work.ts'
import { setField } from '../response-cache/cached-answer.ts'
import { holdAnswer } from '../response-cache/hold-answer.ts'
import { type AnswerHead, fieldValue } from '../response-cache/rules/answer-head.ts'
import type { CachedRequest } from '../response-cache/rules/request-rules.ts'
import type { Freshness, Validator } from './freshness.ts'
import { setTag } from './validator-rules.ts'

/** Answers 304, or lets the handler answer and gives its answer an entity tag. */
export function checkNode<Original>(
  freshness: Freshness<Original>,
  request: CachedRequest<Original>,
  response: ServerResponse,
  next: (error?: unknown) => void,
): void {
  freshness
    .decide(request)
    .then((decision) => {
      // Another middleware, a timeout for example, may have answered meanwhile.
      if (response.headersSent || response.destroyed) return
      if (decision.kind === 'bypass') return next()
      if (decision.kind === 'run') {
        tagAnswer(response, decision.validator)
        return decision.reads === undefined ? next() : runWork({ reads: decision.reads }, next)
      }
      response.statusCode = 304
      for (const [name, value] of decision.headers) setField(response, name, value)
      response.end()
    })
    // Middleware around may have thrown as the head was sent: pass the error on to the rest of the application.
    .catch(next)
}

function tagAnswer(response: ServerResponse, validator: Validator): void {
  let answer: AnswerHead = { status: 0, headers: [] }
  const held = holdAnswer(response, Number.MAX_SAFE_INTEGER, false, {
    onHead({ status, headers }) {
      const given = Object.entries(headers).filter(([, value]) => value !== undefined)
      answer = { status, headers: given.map(([name, value]) => [name.toLowerCase(), fieldValue(value)] as const) }
    },
    onStream() {
      setTag(response, validator.vary, validator.finishEarly(answer))
      return { isCopied: false, isNeeded: true }
    },
    onBody() {
      validator.finish(answer).then(send)
    },
    onAbandon() {},
  })
  const send = (tag: string | undefined) =>
    held.send(() => {
      setTag(response, validator.vary, tag)
      return undefined
    })
}
