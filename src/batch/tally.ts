import type { BatchFailure } from './errors.ts'
import type { Unit } from './unit.ts'

/**
 * Puts finished batches back in the order of the input: results, failures, and the low watermark, which is the place up
 * to which every batch is finished.
 */
export class Tally<Item, Result> {
  readonly failures: BatchFailure<Item>[] = []
  #next = 0
  readonly #waiting = new Map<number, Unit<Item>>()
  /** Results that were `undefined`, before the first that was not. */
  #silent = 0
  /** The others. They are put together once, at the end: an array that grows is copied over and over. */
  readonly #lists: (readonly Result[])[] = []
  #count = 0
  readonly #returnsLists: boolean

  /** @param returnsLists - whether each call returned a list of results, or one */
  constructor(returnsLists: boolean) {
    this.#returnsLists = returnsLists
  }

  /** Empty as long as the processor returned nothing, so that a long run stays small. */
  get results(): Result[] {
    if (this.#count === 0) return []
    const results = new Array<Result>(this.#silent + this.#count)
    results.fill(undefined as Result, 0, this.#silent)
    let place = this.#silent
    for (const list of this.#lists) {
      for (let index = 0; index < list.length; index++) results[place++] = list[index] as Result
    }
    return results
  }

  /** Takes a finished batch. Returns the one that now stands at the low watermark, when that moved. */
  add(unit: Unit<Item>): Unit<Item> | undefined {
    if (unit.index === this.#next && this.#waiting.size === 0) {
      this.#next++
      this.#take(unit)
      return unit
    }
    this.#waiting.set(unit.index, unit)
    let reached: Unit<Item> | undefined
    for (let next = this.#waiting.get(this.#next); next !== undefined; next = this.#waiting.get(this.#next)) {
      this.#waiting.delete(this.#next++)
      this.#take(next)
      reached = next
    }
    return reached
  }

  /** Takes what a stopped run leaves behind: batches behind a gap, and those that were not completed. */
  addRest(open: Iterable<Unit<Item>>): void {
    const rest = [...this.#waiting.values(), ...open].sort((a, b) => a.index - b.index)
    for (const unit of rest) this.#take(unit)
  }

  #take({ values, failures, finished, taken }: Unit<Item>): void {
    const isWhole = failures.length === 0 && finished === taken
    if (this.#returnsLists) for (const list of values) this.#append((list ?? []) as Result[])
    // A hole is a call that failed, or has not ended.
    else this.#append((isWhole ? values : values.filter(() => true)) as Result[])
    for (const failure of failures.sort((a, b) => a.index - b.index)) this.failures.push(failure)
  }

  /** Notes a copy: the list is the processor's own, and it may use it again. */
  #append(list: readonly Result[]): void {
    if (this.#lists.length === 0 && list.every((value) => value === undefined)) {
      this.#silent += list.length
      return
    }
    this.#lists.push(list.slice())
    this.#count += list.length
  }
}
