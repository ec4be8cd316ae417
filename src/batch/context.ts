import type { Transaction } from 'kysely'

/** What a processor is told about its call. */
export type BatchContext<DB = never> = CallContext & ([DB] extends [never] ? unknown : TransactionContext<DB>)

interface CallContext {
  /** The position of the item, or of the chunk's first item, in the input, from 0. */
  readonly index: number
  /** The number of the batch, from 0. */
  readonly batch: number
  /** From 1. */
  readonly attempt: number
  /** Fires when the run stops and when this attempt's `timeout` is over. Hand it to whatever waits. */
  readonly signal: AbortSignal
  /**
   * The same for the same work in every attempt and every run of this checkpoint: an idempotency key for receivers that
   * take one. `undefined` without a checkpoint.
   */
  readonly key: string | undefined
}

interface TransactionContext<DB> {
  /** The batch's transaction, which its checkpoint is part of. */
  readonly trx: Transaction<DB>
}

/** The one object that a call costs: its context, and what the run keeps about it. */
export class Call {
  attempt = 1
  signal: AbortSignal
  trx: Transaction<unknown> | undefined = undefined
  /** It ignored its signal for too long, and may be running still. */
  abandoned = false
  /** Which of a chunk's items failed, where that is known. */
  failedAt: number | undefined = undefined
  readonly index: number
  readonly batch: number
  /** The checkpoint's key. */
  readonly job: string | undefined

  constructor(index: number, batch: number, signal: AbortSignal, job: string | undefined) {
    this.index = index
    this.batch = batch
    this.signal = signal
    this.job = job
  }

  get key(): string | undefined {
    return this.job === undefined ? undefined : `${this.job}:${this.index}`
  }
}

/** Calls the processor, with whatever is wrapped around it: time limit, retries, transaction. */
export type Invoke<Input, Value> = (input: Input, call: Call) => Value | PromiseLike<Value>
