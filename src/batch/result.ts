import { PosthasteError } from '../shared/errors.ts'

/** An item, or a chunk, whose attempts all failed. */
export interface BatchFailure<Item> {
  /** The error of the last attempt, unchanged; a `TimeoutError` if the attempt took longer than `timeout`. */
  readonly error: unknown
  readonly items: readonly Item[]
  /** The position of the first of these items in the input, from 0. */
  readonly index: number
  /** How often the processor was called. */
  readonly attempts: number
}

/** What a run did. */
export interface BatchResult<Item, Result> {
  /** What the processor returned, in the order of the input. Empty if it returned nothing, or if `collect` is false. */
  readonly results: Result[]
  /** In the order of the input. */
  readonly failures: BatchFailure<Item>[]
  /** Items that are finished, including those that failed. */
  readonly processed: number
  /** Batches that are finished. */
  readonly batches: number
  /** Items that earlier runs finished, according to the checkpoint. `processed` does not include them. */
  readonly resumed: number
  /** Calls that ignored their signal for longer than `grace`, and may still be running. */
  readonly abandoned: number
  /** Why the run stopped before the end of the input. */
  readonly stopped: false | 'error' | 'maxFailures'
  readonly elapsedMs: number
}

/**
 * `ERR_BATCH`: a failure stopped the run (`onError: 'stop'`), or more items failed than `maxFailures` allows. `cause` is the
 * processor's error, and `result` says what was done until then.
 */
export class BatchError<Item = unknown, Result = unknown> extends PosthasteError {
  readonly code = 'ERR_BATCH'
  readonly result: BatchResult<Item, Result>

  constructor(message: string, { result, cause }: { result: BatchResult<Item, Result>; cause: unknown }) {
    super(message, { cause })
    this.result = result
  }
}
