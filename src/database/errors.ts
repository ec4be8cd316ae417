import { PosthasteError } from '../shared/errors.ts'
import type { NPlusOne } from './types.ts'

/** Who has a connection of the pool, for how long, and where it was taken. */
export interface Holder {
  readonly heldMs: number
  /** The query scope that took it, as in `GET /users/:id`. */
  readonly scope?: string | undefined
  /** The line that took it; known when `leakAfter` is set. */
  readonly callSite?: string | undefined
}

/** `ERR_POOL_TIMEOUT`: no connection of the pool became free in time. The message names who holds them. */
export class PoolTimeoutError extends PosthasteError {
  readonly code = 'ERR_POOL_TIMEOUT'
  /** Who had the connections when time was up, longest first. */
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
 * `ERR_COMMIT_AMBIGUOUS`: the connection was lost while COMMIT was under way, so the transaction may or may not have
 * been applied. It is never retried.
 */
export class CommitAmbiguousError extends PosthasteError {
  readonly code = 'ERR_COMMIT_AMBIGUOUS'
}

/** `ERR_N_PLUS_ONE`: one request ran the same query over and over, where `mode: 'throw'` or `noNPlusOne` forbids it. */
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
