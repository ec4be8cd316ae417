import type { Kysely } from 'kysely'
import {
  describeValue,
  expectObject,
  expectOneOf,
  expectOptions,
  expectWholeNumber,
  type OptionKinds,
} from '../shared/arguments.ts'
import { createRetrier, type Retrier, type RetryOptions } from '../shared/retry.ts'
import { type Clock, systemClock } from '../shared/time/clock.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import {
  type CheckpointStore,
  type CheckpointTarget,
  isTransactional,
  type TransactionalCheckpointStore,
} from './checkpoints/checkpoint-store.ts'
import type { BatchProgress } from './progress.ts'
import type { BatchFailure } from './result.ts'

/**
 * What happens to an item or chunk after all its retries have failed:
 *
 * - `'stop'` stops the run
 * - `'skip'` skips the item, or the whole chunk
 * - `'isolate'` halves the chunk until each item that fails is alone, and skips only those items
 */
export type OnError = 'stop' | 'skip' | 'isolate'

/** Options of `batchProcess`, `batchProcessChunks` and `mapBatches`. `ctx` is the `BatchContext` of a call. */
export interface BatchOptions<Item, DB = never> {
  /**
   * How many processor calls run at the same time. With `Infinity`, a call starts for every item or chunk as soon as it
   * is read, so the whole input must fit into memory.
   *
   * @defaultValue 10 items for `batchProcess`; 1 chunk for the others; 1 with `transaction`
   */
  readonly concurrency?: number | undefined
  /** Items in a chunk. For `batchProcess`: after how many items `delay`, progress and checkpoint come. @defaultValue 100 */
  readonly batchSize?: number | undefined
  /**
   * What happens after a failure, or a function that decides it for each failure.
   *
   * @defaultValue 'stop', and 'skip' when `maxFailures` is given
   */
  readonly onError?: OnError | ((failure: BatchFailure<Item>) => OnError | Promise<OnError>) | undefined
  /** How many items may fail. One more stops the run. @defaultValue no limit, like `Infinity` */
  readonly maxFailures?: number | undefined
  /** How often a call that fails is repeated, or the options of `withRetry`. @defaultValue 0 */
  readonly retry?: number | RetryOptions | undefined
  /**
   * The time limit of one attempt. When it has passed, `ctx.signal` is aborted, and the attempt fails with a
   * `TimeoutError`.
   *
   * @defaultValue no limit
   */
  readonly timeout?: Duration | undefined
  /**
   * The time in which a call must end after its `ctx.signal` was aborted. A call that takes longer is abandoned: the run
   * neither waits for it nor repeats it, and counts it in `abandoned`.
   * @defaultValue '5s'
   */
  readonly grace?: Duration | undefined
  /** How long to wait before each batch except the first. @defaultValue '0ms' */
  readonly delay?: Duration | undefined
  /** Stops the run: `ctx.signal` is aborted, and the promise rejects with the reason when no call is running any more. */
  readonly signal?: AbortSignal | undefined
  /** Items in the whole input, for the progress. @defaultValue the length of an array; the size of a Set or Map */
  readonly total?: number | undefined
  /** Called after each batch. */
  readonly onProgress?: ((progress: BatchProgress) => void) | undefined
  /** Whether results are kept. @defaultValue true */
  readonly collect?: boolean | undefined
  /**
   * Saves how far the run is. A later run with the same key resumes there. After a crash, the batches that were in flight
   * are processed again, unless `transaction` is set.
   */
  readonly checkpoint?:
    | {
        /** The name of the job. */
        readonly key: string
        /** Where checkpoints are kept. */
        readonly store: CheckpointStore
      }
    | undefined
  /**
   * Runs each batch in a transaction, `ctx.trx`, which also saves the checkpoint. So writes through `ctx.trx` happen
   * exactly once. Requires `concurrency` 1. The checkpoint's store must be `kyselyCheckpoints` of the same database.
   */
  readonly transaction?: Kysely<DB> | undefined
  /** The clock of progress and results, for tests. */
  readonly clock?: Clock | undefined
}

/** {@link BatchOptions} after validation, with defaults. */
export interface BatchSettings<Item>
  extends Pick<BatchOptions<Item>, 'signal' | 'total' | 'onProgress' | 'checkpoint'> {
  readonly concurrency: number
  readonly batchSize: number
  readonly decide: (failure: BatchFailure<Item>) => OnError | Promise<OnError>
  readonly maxFailures: number
  readonly retrier: Retrier | undefined
  readonly timeoutMs: number | undefined
  readonly graceMs: number
  readonly delayMs: number
  readonly collect: boolean
  readonly transaction: TransactionSettings | undefined
  readonly clock: Clock
  /** The position of these items in a larger input, and the key of that input. */
  readonly origin: { readonly index: number; readonly batch: number; readonly key: string | undefined }
}

export interface TransactionSettings {
  readonly db: Kysely<unknown>
  readonly checkpoint: CheckpointTarget<TransactionalCheckpointStore> | undefined
}

export const batchOptions: OptionKinds<BatchOptions<unknown>> = {
  concurrency: 'own',
  batchSize: 'own',
  onError: 'own',
  maxFailures: 'own',
  retry: 'nullable',
  timeout: 'own',
  grace: 'nullable',
  delay: 'nullable',
  signal: 'signal',
  total: 'own',
  onProgress: 'function',
  collect: 'boolean',
  checkpoint: { key: 'own', store: 'own' },
  transaction: 'own',
  clock: 'function',
}

const policies = ['stop', 'skip', 'isolate'] as const

/** @throws TypeError or RangeError for the first wrong option */
export function parseBatchOptions<Item, DB>(
  options: BatchOptions<Item, DB>,
  defaultConcurrency: number,
): BatchSettings<Item> {
  expectOptions(options, batchOptions)
  const { retry = 0, maxFailures, checkpoint, onError = maxFailures === undefined ? 'stop' : 'skip' } = options
  const { timeout, grace = '5s', delay = '0ms', collect = true, clock = systemClock, signal, onProgress } = options
  const transaction = parseTransaction(options)
  return {
    concurrency: transaction
      ? expectWholeNumber(options.concurrency ?? 1, 'concurrency', { min: 1, max: 1 })
      : expectLimit(options.concurrency ?? defaultConcurrency, 'concurrency', 1),
    batchSize: expectWholeNumber(options.batchSize ?? 100, 'batchSize', { min: 1, max: 2 ** 32 - 1 }),
    decide: createDecider(onError),
    maxFailures: expectLimit(maxFailures ?? Number.POSITIVE_INFINITY, 'maxFailures', 0),
    retrier: parseRetry(retry),
    timeoutMs: timeout === undefined ? undefined : parseDuration(timeout, 'timeout'),
    graceMs: parseDuration(grace, 'grace'),
    delayMs: parseDuration(delay, 'delay'),
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

/** Limits may be `Infinity`, but `expectWholeNumber` does not accept it. */
function expectLimit(value: unknown, option: string, min: number): number {
  return value === Number.POSITIVE_INFINITY ? value : expectWholeNumber(value, option, { min })
}

function parseRetry(retry: unknown): Retrier | undefined {
  if (retry === 0) return undefined
  if (typeof retry === 'number') return createRetrier({ retries: expectWholeNumber(retry, 'retry') }, 'retry')
  return createRetrier(retry as RetryOptions, 'retry')
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
  if (checkpoint !== undefined) {
    // Half of a surrogate pair cannot be written in UTF-8.
    if (typeof checkpoint.key !== 'string' || !checkpoint.key.isWellFormed()) {
      throw new TypeError(
        `Expected \`checkpoint.key\` to be a string of whole characters, got ${describeValue(checkpoint.key)}`,
      )
    }
    expectObject(checkpoint.store, 'checkpoint.store', ['load', 'save'])
  }
  if (transaction === undefined) return undefined
  expectObject(transaction, 'transaction', ['transaction'])
  const db = transaction as unknown as Kysely<unknown>
  if (checkpoint === undefined) return { db, checkpoint }
  const { key, store } = checkpoint
  if (isTransactional(store)) return { db, checkpoint: { key, store } }
  throw new TypeError('Expected `checkpoint.store` to be `kyselyCheckpoints(db)` when `transaction` is set')
}
