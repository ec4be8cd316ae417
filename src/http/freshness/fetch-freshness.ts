import { runWork } from '../../shared/scope/work.ts'
import { showTextType } from '../hidden-type.ts'
import { readReady } from '../ready-body.ts'
import { headOf } from '../response-cache/fetch-cache.ts'
import type { AnswerHead } from '../response-cache/rules/answer-head.ts'
import type { CachedRequest } from '../response-cache/rules/request-rules.ts'
import { isSentOtherwise } from '../sent-response.ts'
import type { Freshness, Validator } from './freshness.ts'
import { setTag } from './validator-rules.ts'

/**
 * Answers 304, or lets the handler answer and gives its answer an entity tag.
 *
 * @param notModified - makes the 304, with what middleware has set for this request
 */
export async function checkFetch<Original>(
  freshness: Freshness<Original>,
  request: CachedRequest<Original>,
  run: () => Promise<Response>,
  notModified: (headers: AnswerHead['headers']) => Response,
): Promise<Response> {
  const decision = await freshness.decide(request)
  if (decision.kind === 'fresh') return notModified(decision.headers)
  if (decision.kind === 'bypass') return run()
  const { reads, validator } = decision
  const response = await (reads === undefined ? run() : runWork({ reads }, run))
  return tagResponse(response, validator)
}

async function tagResponse(response: Response, validator: Validator): Promise<Response> {
  const { status, headers } = response
  if (status !== 200 || isSentOtherwise(response)) return response
  const { body } = response
  const answer = { status, headers: [...headers] }
  const ready = body === null ? null : await readReady(body)
  if (ready === null || ready.isWhole) {
    const bytes = ready && (ready.bytes as Buffer<ArrayBuffer>)
    return tagged(bytes, response, validator, await validator.finish(answer))
  }
  const { pieces, cancel } = ready
  const reader = pieces[Symbol.asyncIterator]()
  const rest = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await reader.next()
      if (done) controller.close()
      else controller.enqueue(value)
    },
    cancel,
  })
  return tagged(rest, response, validator, validator.finishEarly(answer))
}

function tagged(
  body: ConstructorParameters<typeof Response>[0],
  response: Response,
  { vary }: Validator,
  tag: string | undefined,
): Response {
  const { status, statusText, headers } = response
  const changed = new Headers(headers)
  // The server delimits a whole body by its length.
  if (body instanceof Uint8Array) {
    changed.delete('transfer-encoding')
    showTextType(changed, response, body)
  }
  setTag(headOf(changed), vary, tag)
  return new Response(body, { status, statusText, headers: changed })
}
