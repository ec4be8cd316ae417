import { describeValue } from '../shared/arguments.ts'
import type { BatchFailure } from './result.ts'

/** The state of one batch while it is processed. `delay`, progress and checkpoints work batch by batch. */
export class Batch<Item> {
  readonly index: number
  /** The position of its first item in the input. */
  readonly start: number
  itemCount = 0
  startedCalls = 0
  /** Calls that succeeded, or whose failure was handled. */
  finishedCalls = 0
  /** No more inputs are added to this batch. */
  isFull = false
  /** The value that each call returned. A call that failed, or is still running, leaves a hole. */
  readonly values: unknown[] = []
  readonly failures: BatchFailure<Item>[] = []
  /** The source's cursor after its last item, if the source has cursors. */
  cursor: string | undefined

  constructor(index: number, start: number) {
    this.index = index
    this.start = start
  }

  /** The position after its last item. */
  get end(): number {
    return this.start + this.itemCount
  }

  get isFinished(): boolean {
    return this.isFull && this.finishedCalls === this.startedCalls
  }

  /** Returns the values and forgets them. */
  takeValues(): unknown[] {
    return this.values.splice(0)
  }
}

/** Rejects a value that is not a list, because the results could not hold it. */
export function expectList(value: unknown): void {
  if (value === undefined || Array.isArray(value)) return
  throw new TypeError(`Expected the processor to return a list of results or nothing, got ${describeValue(value)}`)
}
