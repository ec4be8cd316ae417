import type { Kysely } from 'kysely'
import { describeValue, expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { type Clock, systemClock } from '../shared/clock.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { createRetrier, type RetryOptions } from '../shared/retry.ts'
import { type CheckpointStore, isTransactional, type TransactionalCheckpointStore } from './checkpoints.ts'
import type { BatchFailure } from './errors.ts'
import type { BatchProgress } from './progress.ts'

/**
 * What happens to a failure that was not cured by retrying: the run stops; the item, or the chunk, is left out; or the
 * chunk is halved until the items that fail stand alone, and these are left out.
 */
export type OnError = 'stop' | 'skip' | 'isolate'

/** Options of `batchProcess`, `batchProcessChunks` and `mapBatches`. */
export interface BatchOptions<Item, DB = never> {
  /**
   * Processor calls in flight.
   * @defaultValue 10 items for `batchProcess`; 1 chunk for the others; 1 with `transaction`
   */
  readonly concurrency?: number | undefined
  /** Items a chunk; for `batchProcess` the unit of `delay`, progress and checkpoint. @defaultValue 100 */
  readonly batchSize?: number | undefined
  /**
   * What a failure leads to, or a function that decides for each.
   * @defaultValue 'stop', and 'skip' when `maxFailures` is given
   */
  readonly onError?: OnError | ((failure: BatchFailure<Item>) => OnError | Promise<OnError>) | undefined
  /** Failed items that are put up with; one more stops the run. @defaultValue no limit */
  readonly maxFailures?: number | undefined
  /** Further attempts for each call, or how to make them. @defaultValue 0 */
  readonly retry?: number | RetryOptions | undefined
  /**
   * Time for one attempt. Then `ctx.signal` fires, and the attempt has failed with a `TimeoutError`.
   * @defaultValue no limit
   */
  readonly timeout?: Duration | undefined
  /**
   * Time for a call to end after its `ctx.signal` fired. Then it is abandoned: no longer waited for, never retried, and
   * counted in `abandoned`.
   * @defaultValue '5s'
   */
  readonly grace?: Duration | undefined
  /** Pause before each batch but the first. @defaultValue none */
  readonly delay?: Duration | undefined
  /** Stops the run: `ctx.signal` fires, and when no call is running any more the promise rejects with the reason. */
  readonly signal?: AbortSignal | undefined
  /** Items in all, for the progress. @defaultValue the length of an array; the size of a Set or Map */
  readonly total?: number | undefined
  /** Called after each batch. */
  readonly onProgress?: ((progress: BatchProgress) => void) | undefined
  /** Whether results are kept. @defaultValue true */
  readonly collect?: boolean | undefined
  /**
   * Where the run writes down how far it is, under a key of the run's own, and begins when it is started again. After a
   * crash the batches in flight are processed again, unless `transaction` is set.
   */
  readonly checkpoint?: { readonly key: string; readonly store: CheckpointStore } | undefined
  /**
   * Runs each batch in a transaction, `ctx.trx`, that also holds the checkpoint: what is written through it is written
   * exactly once. Needs a `concurrency` of 1, and `kyselyCheckpoints` of the same database as the checkpoint's store.
   */
  readonly transaction?: Kysely<DB> | undefined
  /** For tests: tells the time of progress and results. */
  readonly clock?: Clock | undefined
}

/** The options, checked and with their defaults. */
export interface BatchSettings<Item> {
  readonly concurrency: number
  readonly batchSize: number
  readonly decide: (failure: BatchFailure<Item>) => OnError | Promise<OnError>
  readonly maxFailures: number
  readonly retrier: ReturnType<typeof createRetrier> | undefined
  readonly timeoutMs: number | undefined
  readonly graceMs: number
  readonly delayMs: number
  readonly signal: AbortSignal | undefined
  readonly total: number | undefined
  readonly onProgress: ((progress: BatchProgress) => void) | undefined
  readonly collect: boolean
  readonly checkpoint: { readonly key: string; readonly store: CheckpointStore } | undefined
  readonly transaction: TransactionSettings | undefined
  readonly clock: Clock
  /** Where the items begin in a larger input, and the key of that. */
  readonly origin: { readonly index: number; readonly batch: number; readonly key: string | undefined }
}

export interface TransactionSettings {
  readonly db: Kysely<unknown>
  readonly checkpoint: { readonly key: string; readonly store: TransactionalCheckpointStore } | undefined
}

const policies = ['stop', 'skip', 'isolate'] as const

/** @throws TypeError or RangeError that names the first wrong option */
export function parseBatchOptions<Item, DB>(
  options: BatchOptions<Item, DB>,
  defaultConcurrency: number,
): BatchSettings<Item> {
  const { retry = 0, maxFailures, checkpoint, onError = maxFailures === undefined ? 'stop' : 'skip' } = options
  const { timeout, grace = '5s', delay = '0ms', collect = true, clock = systemClock, signal, onProgress } = options
  const transaction = parseTransaction(options)
  const retryOptions = typeof retry === 'number' ? { retries: expectWholeNumber(retry, 'retry') } : retry
  if (checkpoint !== undefined && typeof checkpoint.key !== 'string') {
    throw new TypeError(`Expected \`checkpoint.key\` to be a string, got ${describeValue(checkpoint.key)}`)
  }
  return {
    concurrency: expectWholeNumber(options.concurrency ?? (transaction ? 1 : defaultConcurrency), 'concurrency', {
      min: 1,
      max: transaction ? 1 : undefined,
    }),
    batchSize: expectWholeNumber(options.batchSize ?? 100, 'batchSize', { min: 1, max: 2 ** 32 - 1 }),
    decide: createDecider(onError),
    maxFailures: maxFailures === undefined ? Number.POSITIVE_INFINITY : expectWholeNumber(maxFailures, 'maxFailures'),
    retrier: retry === 0 ? undefined : createRetrier(retryOptions, 'retry'),
    timeoutMs: timeout === undefined ? undefined : timerMs(timeout, 'timeout'),
    graceMs: timerMs(grace, 'grace'),
    delayMs: timerMs(delay, 'delay'),
    total: options.total === undefined ? undefined : expectWholeNumber(options.total, 'total'),
    signal,
    onProgress,
    collect,
    checkpoint,
    transaction,
    clock,
    origin: { index: 0, batch: 0, key: checkpoint?.key },
  }
}

/** A longer timer would fire at once. */
function timerMs(value: Duration, option: string): number {
  return Math.min(parseDuration(value, option), 2 ** 31 - 1)
}

function createDecider<Item>(onError: NonNullable<BatchOptions<Item>['onError']>): BatchSettings<Item>['decide'] {
  if (typeof onError !== 'function') {
    expectOneOf(onError, 'onError', policies)
    return () => onError
  }
  return async (failure) => expectOneOf(await onError(failure), 'onError', policies)
}

function parseTransaction<Item, DB>({
  transaction,
  checkpoint,
}: BatchOptions<Item, DB>): TransactionSettings | undefined {
  if (transaction === undefined) return undefined
  const db = transaction as unknown as Kysely<unknown>
  if (checkpoint === undefined) return { db, checkpoint }
  const { key, store } = checkpoint
  if (isTransactional(store)) return { db, checkpoint: { key, store } }
  throw new TypeError('Expected `checkpoint.store` to be `kyselyCheckpoints(db)` when `transaction` is set')
}
