import vary from 'vary'
import { setField, type WritableHead } from '../response-cache/cached-answer.ts'
import { type AnswerHead, headerOf } from '../response-cache/rules/answer-head.ts'
import { isHeaderName, varyNames } from '../response-cache/rules/answer-rules.ts'
import { parseDirectives } from '../response-cache/rules/freshness.ts'

/**
 * Why an answer gets no entity tag, or `undefined` when it gets one. Private answers get one: no other client can have their
 * tag.
 */
export function validatorFault(answer: AnswerHead): string | undefined {
  const header = headerOf(answer)
  if (answer.status !== 200) return 'status'
  // A 304 would not set the cookie.
  if (header('set-cookie') !== undefined) return 'set-cookie'
  const directives = parseDirectives(header('cache-control') ?? header('pragma') ?? '')
  if (directives === undefined || directives.has('no-store')) return 'cache-control'
  if (!varyNames(header('vary')).every(isHeaderName)) return 'vary'
  return /^\s*text\/event-stream\b/i.test(header('content-type') ?? '') ? 'stream' : undefined
}

/** What a 304 repeats of the answer (RFC 9110, 15.4.5). */
export function keptHeaders(answer: AnswerHead, varying: readonly string[]): AnswerHead['headers'] {
  const header = headerOf(answer)
  const kept = ['cache-control', 'content-location', 'expires'].flatMap((name) => {
    const value = header(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  const varied = vary.append(header('vary') ?? '', [...varying])
  return varied === '' ? kept : [...kept, ['vary', varied]]
}

/**
 * Sets the entity tag. It replaces a tag of the body, such as Express's own, with which the next request could not be
 * compared.
 *
 * @param varying - names to add to `Vary`
 */
export function setTag(
  head: Pick<WritableHead, 'getHeader' | 'setHeader'>,
  varying: readonly string[],
  tag: string | undefined,
): void {
  if (tag === undefined) return
  head.setHeader('etag', tag)
  for (const name of varying) setField(head, 'vary', name)
}
