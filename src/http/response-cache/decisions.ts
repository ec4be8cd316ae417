import type { CachedAnswer } from './cached-answer.ts'
import { type HandlerAnswer, unstorableReason } from './rules/answer-rules.ts'

/** How to answer a request. `cacheStatus` is the header to send (RFC 9211). */
export type CacheDecision =
  /** Send this answer. */
  | { readonly kind: 'answer'; readonly answer: CachedAnswer }
  /** The handler has run: send its answer unchanged. */
  | { readonly kind: 'handled'; readonly cacheStatus: string }
  /** The handler has not run: let it answer as if there were no cache. */
  | { readonly kind: 'bypass'; readonly cacheStatus: string }

export function bypass(cacheStatus: string): CacheDecision {
  return { kind: 'bypass', cacheStatus: `posthaste; ${cacheStatus}` }
}

export function handled(cacheStatus: string): CacheDecision {
  return { kind: 'handled', cacheStatus: `posthaste; ${cacheStatus}` }
}

/** Sends the failed answer to another request, unless something in it is personal. */
export function shareFailedAnswer(answer: HandlerAnswer): CacheDecision {
  const { status, message, headers, body, own, removed = [], form } = answer
  if (body === undefined || unstorableReason({ ...answer, status: 200 }, 0) !== undefined) return bypass('fwd=miss')
  const shared = own === undefined ? headers : headers.filter(([name]) => own.has(name))
  const withStatus: CachedAnswer['headers'] = [...shared, ['cache-status', 'posthaste; fwd=miss; collapsed']]
  const source = { status, headers: shared, body, form }
  return { kind: 'answer', answer: { status, message, headers: withStatus, removed, body, source } }
}

/** Runs the handler of a request. */
export interface HandlerRun {
  /** Runs the handler for this request. The answer is held back, unless it comes in pieces. */
  forRequest(): Promise<HandlerAnswer>
  /**
   * Runs the handler again to renew a stored response, for a request that has its answer already. Absent where a framework
   * cannot repeat a request: then a request that finds a response stale waits for its own handler. Resolves to `undefined`
   * when this shows only during the run: then the next request renews the response.
   *
   * @param signal - aborted when nobody waits for the run any more
   */
  readonly inBackground?: ((signal: AbortSignal) => Promise<HandlerAnswer | undefined>) | undefined
}
