import { PosthasteError } from '../shared/errors.ts'
import type { NPlusOne } from './types.ts'

/** A caller that holds a connection of the pool. */
export interface Holder {
  readonly heldMs: number
  /** The query scope that took it, such as `GET /users/:id`. */
  readonly scope?: string | undefined
  /** The line that took it; known when `leakAfter` is set. */
  readonly callSite?: string | undefined
}

/** `ERR_POOL_TIMEOUT`: no connection of the pool became free in time. The message names the callers that hold them. */
export class PoolTimeoutError extends PosthasteError {
  readonly code = 'ERR_POOL_TIMEOUT'
  /** The callers that held the connections at that moment, longest first. */
  readonly holders: readonly Holder[]

  constructor(message: string, holders: readonly Holder[]) {
    super(message)
    this.holders = holders
  }
}

/** `ERR_QUERY_TIMEOUT`: a query took longer than the `timeout` of `instrument` and was cancelled on the server. */
export class QueryTimeoutError extends PosthasteError {
  readonly code = 'ERR_QUERY_TIMEOUT'
}

/**
 * `ERR_COMMIT_AMBIGUOUS`: the connection was lost during COMMIT, so the transaction may or may not have been applied. It is
 * never retried.
 */
export class CommitAmbiguousError extends PosthasteError {
  readonly code = 'ERR_COMMIT_AMBIGUOUS'
}

/** `ERR_N_PLUS_ONE`: one scope repeated a query, and `mode: 'throw'` or `noNPlusOne` forbids it. */
export class NPlusOneError extends PosthasteError {
  readonly code = 'ERR_N_PLUS_ONE'
  readonly finding: NPlusOne

  constructor(message: string, finding: NPlusOne) {
    super(message)
    this.finding = finding
  }
}

/** `ERR_QUERY_BUDGET`: more queries ran than `max` or `maxQueries` allows. */
export class QueryBudgetError extends PosthasteError {
  readonly code = 'ERR_QUERY_BUDGET'
}
