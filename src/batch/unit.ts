import { describeValue } from '../shared/assertions.ts'
import type { BatchFailure } from './errors.ts'

/** A batch on its way: the unit of delay, progress and checkpoint. */
export class Unit<Item> {
  readonly index: number
  /** The position of its first item in the input. */
  readonly start: number
  items = 0
  /** Calls begun and ended. */
  taken = 0
  finished = 0
  /** No further call will belong to it. */
  full = false
  /** What each call returned; a hole where it has not, or failed. */
  readonly values: unknown[] = []
  readonly failures: BatchFailure<Item>[] = []
  /** The place behind its last item, for sources with cursors. */
  cursor: string | undefined

  constructor(index: number, start: number) {
    this.index = index
    this.start = start
  }

  /** The position behind its last item. */
  get end(): number {
    return this.start + this.items
  }
}

/** Refuses what is no list, which would otherwise vanish from the results. */
export function expectList(value: unknown): void {
  if (value === undefined || Array.isArray(value)) return
  throw new TypeError(`Expected the processor to return a list of results or nothing, got ${describeValue(value)}`)
}
