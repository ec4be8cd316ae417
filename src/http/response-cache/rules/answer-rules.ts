import { isHttpToken } from '../../../shared/http-token.ts'
import { type AnswerHead, headerOf } from './answer-head.ts'
import { parseDirectives, readFreshness } from './freshness.ts'

/** How a handler gave its body, where hooks of the application see it. */
export type PayloadForm = 'none' | 'text' | 'bytes' | 'stream'

/** The answer of a handler. */
export interface HandlerAnswer extends AnswerHead {
  /** The headers that the handler itself has set; absent when all are its own. */
  readonly own?: ReadonlySet<string> | undefined
  /** The headers that others had set and the handler has removed. */
  readonly removed?: readonly string[] | undefined
  /** `undefined` when it is longer than `maxBytes`, or the response must not be stored. */
  readonly body: Buffer | undefined
  readonly form?: PayloadForm | undefined
  /**
   * Whether the response was closed before its end. Unless {@link fault} says otherwise, the client left, and the handler
   * may have stopped.
   */
  readonly isAbandoned?: boolean | undefined
  /** Why the answer is not stored, whatever its head says. */
  readonly fault?: 'broken' | 'raw' | undefined
}

/** Stands for an answer that was never given. */
export const noAnswer: HandlerAnswer = { status: 499, headers: [], body: undefined }

/** Why an answer is not stored, or `undefined` when it is. */
export function unstorableReason(answer: AnswerHead, now: number): string | undefined {
  const header = headerOf(answer)
  if (!storableStatuses.has(answer.status)) return 'status'
  if (header('set-cookie') !== undefined) return 'set-cookie'
  if (new Set(answer.headers.map(([name]) => name)).size < answer.headers.length) return 'repeated'
  const directives = parseDirectives(header('cache-control') ?? header('pragma') ?? '')
  if (directives === undefined) return 'cache-control'
  // This header is meant for shared caches nearer to the client, and this is not one. But what may not be stored there is
  // personal.
  const forOthers = parseDirectives(header('cdn-cache-control') ?? '')
  const forbidden = forbiddingDirectives.find((name) => directives.has(name) || forOthers?.has(name))
  if (forbidden !== undefined) return forbidden
  if (readFreshness(answer, now).lifetime === 0) return 'expired'
  if (!varyNames(header('vary')).every(isHeaderName)) return 'vary'
  if (/^\s*text\/event-stream\b/i.test(header('content-type') ?? '')) return 'stream'
  if (header('content-range') !== undefined) return 'range'
  // A stored answer is sent in one piece, which has no trailers.
  if (answer.hasTrailers || header('trailer') !== undefined) return 'trailer'
  if ((header('transfer-encoding') ?? 'chunked') !== 'chunked') return 'encoded'
  const encoding = header('content-encoding')
  return encoding === undefined || encoding === 'identity' ? undefined : 'encoded'
}

/** Why a body is not stored: it is too long, or not as long as the head says. */
export function bodyFault(answer: AnswerHead, body: Buffer | undefined): string | undefined {
  if (body === undefined) return 'size'
  const length = headerOf(answer)('content-length')
  return length === undefined || length === String(body.length) ? undefined : 'length'
}

/** The request headers that an answer depends on, in lower case; without `Accept-Encoding`, as the cache encodes bodies itself. */
export function varyingHeaders(answer: AnswerHead): readonly string[] {
  const header = headerOf(answer)
  const names = new Set(varyNames(header('vary')?.toLowerCase()).filter((name) => name !== 'accept-encoding'))
  // An answer that names one origin depends on the request's `Origin`, even if its `Vary` does not say so.
  const origin = header('access-control-allow-origin')
  if (origin !== undefined && origin !== '*') names.add('origin')
  return [...names].sort()
}

const forbiddingDirectives = ['private', 'no-store', 'no-cache', 'must-understand']

/**
 * The statuses that may be cached (RFC 9110, 15.1) without the errors: a client that makes the handler fail with a strange
 * header must not make it fail for everyone.
 */
export const storableStatuses: ReadonlySet<number> = new Set([200, 203, 300, 301, 308])

/** The names in a value of `Vary`, as they are written. */
export function varyNames(vary = ''): string[] {
  return vary
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** Whether it is a token other than `*`. */
export function isHeaderName(name: string): boolean {
  return name !== '*' && isHttpToken(name)
}
