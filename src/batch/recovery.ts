import { type Batch, expectList } from './batch.ts'
import { CheckpointConflict } from './checkpoints/checkpoint-store.ts'
import type { BatchSettings } from './options.ts'
import { type Invoke, ProcessorCall } from './processor-call.ts'
import type { BatchFailure } from './result.ts'

/** Why a run stopped before the end of its input. The error of a run that stopped as `'thrown'` is thrown unchanged. */
export interface StopReason {
  readonly kind: 'error' | 'maxFailures' | 'thrown'
  readonly error: unknown
}

/** The parts of a run that the recovery uses. */
export interface RunState {
  /** Aborted when the run stops. */
  readonly signal: AbortSignal
  readonly stopReason: StopReason | undefined
  /** Whether the run's promise has settled. Then calls that still run are abandoned, and their results dropped. */
  readonly isSettled: boolean
  /** Calls that were abandoned. */
  abandoned: number
  countCallStart(size: number): void
  countCallEnd(size: number, isSuccess: boolean): void
  /** Returns how many items have failed in this run. */
  countFailedItems(size: number): number
  /** Stops the run. Only the first reason counts. */
  halt(kind: StopReason['kind'], error: unknown): void
}

/** Items of one call that failed, or that are processed again after a failure. */
interface Part<Item> {
  readonly items: readonly Item[]
  readonly call: ProcessorCall
  readonly batch: Batch<Item>
  /** The index in `batch.values` of the value of the first call. */
  readonly slot: number
}

/**
 * Handles failed calls as `onError` says: it stops the run, skips the items, or tries them again in halves. Its methods
 * return false when the run stops and the items are not finished.
 */
export class Recovery<Item> {
  readonly #run: RunState
  readonly #invoke: Invoke<readonly Item[], unknown>
  readonly #settings: BatchSettings<Item>

  constructor(run: RunState, invoke: Invoke<readonly Item[], unknown>, settings: BatchSettings<Item>) {
    this.#run = run
    this.#invoke = invoke
    this.#settings = settings
  }

  async recover(part: Part<Item>, error: unknown): Promise<boolean> {
    const { items, call, batch } = part
    if (error instanceof CheckpointConflict) this.#run.halt('thrown', error)
    if (call.isAbandoned) this.#run.abandoned++
    const failure = failureOf(items, call, error)
    if (this.#run.stopReason !== undefined) {
      if (!this.#isAbort(error)) this.#record(failure, batch)
      return false
    }
    const decision = this.#settings.decide(failure)
    // Awaited only if it is a promise: otherwise another call could start between a failure and the stop that the failure
    // causes.
    const policy = typeof decision === 'string' ? decision : await decision
    if (this.#run.isSettled) return false
    if (policy === 'stop') {
      this.#record(failure, batch)
      this.#run.halt('error', error)
      return false
    }
    if (call.failedAt !== undefined) return this.#repeatWithout(call.failedAt, part, failure)
    // An abandoned call may still be running, so its items are not processed again.
    if (policy === 'isolate' && items.length > 1 && !call.isAbandoned) return this.#halve(part)
    return this.#record(failure, batch)
  }

  /** Halves a part that fails, until the items that fail are alone. */
  async #halve(part: Part<Item>): Promise<boolean> {
    const { items, batch } = part
    const middle = items.length >> 1
    const right = this.#slice(part, middle)
    const failuresBefore = batch.failures.length
    if (!(await this.#repeat(this.#slice(part, 0, middle)))) return false
    // If the left half succeeds, the failure is in the right half. Then the right half is halved at once, without a call
    // for all of it.
    const isFailureRight = batch.failures.length === failuresBefore
    return isFailureRight && right.items.length > 1 ? this.#halve(right) : this.#repeat(right)
  }

  /** Repeats a part that was rolled back, without the one item that has failed. */
  async #repeatWithout(failedAt: number, part: Part<Item>, failure: BatchFailure<Item>): Promise<boolean> {
    if (!(await this.#repeat(this.#slice(part, 0, failedAt)))) return false
    if (!this.#record(failure, part.batch)) return false
    return this.#repeat(this.#slice(part, failedAt + 1))
  }

  #slice({ items, call, batch, slot }: Part<Item>, start: number, end?: number): Part<Item> {
    const partCall = new ProcessorCall(call.index + start, call.batch, this.#run.signal, this.#settings.origin.key)
    return { items: items.slice(start, end), call: partCall, batch, slot }
  }

  /** Calls the processor for a part of a chunk. */
  async #repeat(part: Part<Item>): Promise<boolean> {
    const { items, call, batch, slot } = part
    if (items.length === 0) return true
    if (this.#run.stopReason !== undefined) return false
    this.#run.countCallStart(items.length)
    let value: unknown
    try {
      value = await this.#invoke(items, call)
      expectList(value)
    } catch (error) {
      if (this.#run.isSettled) return false
      this.#run.countCallEnd(items.length, false)
      return this.recover(part, error)
    }
    if (this.#run.isSettled) return false
    this.#run.countCallEnd(items.length, true)
    if (this.#settings.collect && Array.isArray(value)) {
      batch.values[slot] = ((batch.values[slot] ?? []) as unknown[]).concat(value)
    }
    return true
  }

  /** Adds a failure to the batch, and stops the run if there are more failures than `maxFailures`. */
  #record(failure: BatchFailure<Item>, batch: Batch<Item>): boolean {
    batch.failures.push(failure)
    const failed = this.#run.countFailedItems(failure.items.length)
    if (failed > this.#settings.maxFailures) this.#run.halt('maxFailures', failure.error)
    return this.#run.stopReason === undefined
  }

  #isAbort(error: unknown): boolean {
    const { reason } = this.#run.signal
    return error === reason || (error instanceof Error && error.name === 'AbortError')
  }
}

function failureOf<Item>(items: readonly Item[], call: ProcessorCall, error: unknown): BatchFailure<Item> {
  const { index, attempt: attempts, failedAt } = call
  if (failedAt === undefined) return { error, items, index, attempts }
  return { error, items: [items[failedAt] as Item], index: index + failedAt, attempts }
}
