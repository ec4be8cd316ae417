import { CheckpointConflict } from './conflict.ts'
import { Call, type Invoke } from './context.ts'
import type { BatchFailure } from './errors.ts'
import type { BatchSettings } from './options.ts'
import type { Counts } from './progress.ts'
import { expectList, type Unit } from './unit.ts'

/** Why a run ended before its input: a failure of the processor, or something thrown that is passed on as it is. */
export interface Stop {
  readonly kind: 'error' | 'maxFailures' | 'thrown'
  readonly error: unknown
}

/** What dealing with failures needs of a run. */
export interface Recovering {
  readonly counts: Counts
  readonly signal: AbortSignal
  readonly stop: Stop | undefined
  readonly isSettled: boolean
  abandoned: number
  begun(size: number): void
  ended(size: number, succeeded: boolean): void
  halt(kind: Stop['kind'], error: unknown): void
}

/** What becomes of items whose call failed: they stop the run, are left out, or are tried again in halves. */
export class Recovery<Item> {
  readonly #run: Recovering
  readonly #invoke: Invoke<readonly Item[], unknown>
  readonly #settings: BatchSettings<Item>

  constructor(run: Recovering, invoke: Invoke<readonly Item[], unknown>, settings: BatchSettings<Item>) {
    this.#run = run
    this.#invoke = invoke
    this.#settings = settings
  }

  /** Deals with a failure as `onError` says. False when the run stops and the items are not done. */
  async recover(items: readonly Item[], call: Call, error: unknown, unit: Unit<Item>, slot: number): Promise<boolean> {
    if (error instanceof CheckpointConflict) this.#run.halt('thrown', error)
    if (call.abandoned) this.#run.abandoned++
    const failure = failureOf(items, call, error)
    if (this.#run.stop !== undefined) {
      if (!this.#isAbort(error)) this.#record(failure, unit)
      return false
    }
    const decided = this.#settings.decide(failure)
    // Nothing may begin between a failure and the stop it leads to.
    const policy = typeof decided === 'string' ? decided : await decided
    if (this.#run.isSettled) return false
    if (policy === 'stop') {
      this.#record(failure, unit)
      this.#run.halt('error', error)
      return false
    }
    if (call.failedAt !== undefined) return this.#leaveOut(items, call, failure, unit, slot)
    // A call that may be running still is not repeated, in parts neither.
    if (policy === 'isolate' && items.length > 1 && !call.abandoned) return this.#halve(items, call, unit, slot)
    return this.#record(failure, unit)
  }

  /** Halves a range that fails, until the items that fail stand alone. */
  async #halve(items: readonly Item[], call: Call, unit: Unit<Item>, slot: number): Promise<boolean> {
    const middle = items.length >> 1
    const right = items.slice(middle)
    const rightCall = this.#callAt(call, middle)
    const failed = unit.failures.length
    if (!(await this.#redo(items.slice(0, middle), this.#callAt(call, 0), unit, slot))) return false
    // When the left half is sound, the right one must hold the failure, and need not be tried as a whole.
    return unit.failures.length === failed && right.length > 1
      ? this.#halve(right, rightCall, unit, slot)
      : this.#redo(right, rightCall, unit, slot)
  }

  /** Repeats a rolled back range without the one item that is known to have failed. */
  async #leaveOut(
    items: readonly Item[],
    call: Call,
    failure: BatchFailure<Item>,
    unit: Unit<Item>,
    slot: number,
  ): Promise<boolean> {
    const at = call.failedAt as number
    if (!(await this.#redo(items.slice(0, at), this.#callAt(call, 0), unit, slot))) return false
    if (!this.#record(failure, unit)) return false
    return this.#redo(items.slice(at + 1), this.#callAt(call, at + 1), unit, slot)
  }

  #callAt(call: Call, offset: number): Call {
    return new Call(call.index + offset, call.batch, this.#run.signal, this.#settings.origin.key)
  }

  /** Calls the processor for a part of a chunk. False when the run stops and the part is not done. */
  async #redo(items: readonly Item[], call: Call, unit: Unit<Item>, slot: number): Promise<boolean> {
    if (items.length === 0) return true
    if (this.#run.stop !== undefined) return false
    this.#run.begun(items.length)
    let value: unknown
    try {
      value = await this.#invoke(items, call)
      expectList(value)
    } catch (error) {
      if (this.#run.isSettled) return false
      this.#run.ended(items.length, false)
      return this.recover(items, call, error, unit, slot)
    }
    if (this.#run.isSettled) return false
    this.#run.ended(items.length, true)
    if (this.#settings.collect && Array.isArray(value)) {
      unit.values[slot] = ((unit.values[slot] ?? []) as unknown[]).concat(value)
    }
    return true
  }

  /** Counts a failure for good. False when it is one too many. */
  #record(failure: BatchFailure<Item>, unit: Unit<Item>): boolean {
    unit.failures.push(failure)
    this.#run.counts.processed += failure.items.length
    this.#run.counts.failed += failure.items.length
    if (this.#run.counts.failed > this.#settings.maxFailures) this.#run.halt('maxFailures', failure.error)
    return this.#run.stop === undefined
  }

  #isAbort(error: unknown): boolean {
    const { reason } = this.#run.signal
    return error === reason || (error instanceof Error && error.name === 'AbortError')
  }
}

function failureOf<Item>(items: readonly Item[], call: Call, error: unknown): BatchFailure<Item> {
  const { index, attempt: attempts, failedAt } = call
  if (failedAt === undefined) return { error, items, index, attempts }
  return { error, items: [items[failedAt] as Item], index: index + failedAt, attempts }
}
