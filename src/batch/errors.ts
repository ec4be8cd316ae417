import { PosthasteError } from '../shared/errors.ts'

/** An item, or a chunk, whose attempts all failed. */
export interface BatchFailure<Item> {
  /** What the last attempt threw, unchanged; a `TimeoutError` when its time was up. */
  readonly error: unknown
  readonly items: readonly Item[]
  /** The position of the first of these items in the input, from 0. */
  readonly index: number
  /** Calls that were made. */
  readonly attempts: number
}

/** What a run did. */
export interface BatchResult<Item, Result> {
  /** What the processor returned, in the order of the input. Empty when it returned nothing, or `collect` is false. */
  readonly results: Result[]
  /** In the order of the input. */
  readonly failures: BatchFailure<Item>[]
  /** Items that are finished, the failed ones among them. */
  readonly processed: number
  /** Batches that are finished. */
  readonly batches: number
  /** Items that earlier runs had finished, according to the checkpoint. They are not in `processed`. */
  readonly resumed: number
  /** Calls that ignored their signal for longer than `grace`, and may be running still. */
  readonly abandoned: number
  /** What stopped the run before the end of the input. */
  readonly stopped: false | 'error' | 'maxFailures'
  readonly elapsedMs: number
}

/**
 * `ERR_BATCH`: a run was stopped by a failure (`onError: 'stop'`) or by too many (`maxFailures`). `cause` is what the
 * processor threw, and `result` holds what was done.
 */
export class BatchError<Item = unknown, Result = unknown> extends PosthasteError {
  readonly code = 'ERR_BATCH'
  readonly result: BatchResult<Item, Result>

  constructor(message: string, { result, cause }: { result: BatchResult<Item, Result>; cause: unknown }) {
    super(message, { cause })
    this.result = result
  }
}
