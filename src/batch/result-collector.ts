import type { Batch } from './batch.ts'
import type { OpenRun } from './open-run.ts'
import { BatchError, type BatchFailure, type BatchResult } from './result.ts'

/**
 * Puts the results and failures of finished batches into the order of the input. Also finds the low watermark: the last
 * batch such that it and all batches before it are finished.
 */
export class ResultCollector<Item, Result> {
  readonly #failures: BatchFailure<Item>[] = []
  #nextIndex = 0
  /** Finished batches that come after an unfinished one. */
  readonly #waiting = new Map<number, Batch<Item>>()
  /** How many results were `undefined` before the first result that was not. */
  #leadingUndefined = 0
  /**
   * The results from there on. They are joined once, at the end, because a growing array would be copied again and again.
   */
  readonly #lists: (readonly Result[])[] = []
  #count = 0
  readonly #returnsLists: boolean

  /** @param returnsLists - whether each call returns a list of results, or one result */
  constructor(returnsLists: boolean) {
    this.#returnsLists = returnsLists
  }

  /** Adds a finished batch. Returns the batch at the low watermark, if that has moved. */
  add(batch: Batch<Item>): Batch<Item> | undefined {
    this.#waiting.set(batch.index, batch)
    let reached: Batch<Item> | undefined
    for (let next = this.#waiting.get(this.#nextIndex); next; next = this.#waiting.get(this.#nextIndex)) {
      this.#waiting.delete(this.#nextIndex++)
      this.#append(next)
      reached = next
    }
    return reached
  }

  /**
   * The result of a run that has settled.
   *
   * @throws BatchError when a failure of the processor stopped the run; any other error that stopped it, unchanged
   */
  toResult({ run, checkpointer, elapsedMs }: OpenRun<Item>): BatchResult<Item, Result> {
    const { stopReason, counts, batches, abandoned } = run
    if (stopReason?.kind === 'thrown') throw stopReason.error
    const rest = [...this.#waiting.values(), ...run.openBatches].sort((a, b) => a.index - b.index)
    for (const batch of rest) this.#append(batch)
    const result: BatchResult<Item, Result> = {
      results: this.#joinResults(),
      failures: this.#failures,
      processed: counts.processed,
      batches,
      resumed: checkpointer.resumed,
      abandoned,
      stopped: stopReason?.kind ?? false,
      elapsedMs: elapsedMs(),
    }
    if (stopReason === undefined) return result
    throw new BatchError(stopMessage(result, counts.failed), { result, cause: stopReason.error })
  }

  #append({ values, failures, finishedCalls, startedCalls }: Batch<Item>): void {
    if (this.#returnsLists) {
      for (const list of values) this.#appendResults((list ?? []) as Result[])
    } else {
      const hasHoles = failures.length > 0 || finishedCalls < startedCalls
      this.#appendResults((hasHoles ? values.filter(() => true) : values) as Result[])
    }
    for (const failure of failures.sort((a, b) => a.index - b.index)) this.#failures.push(failure)
  }

  #appendResults(list: readonly Result[]): void {
    if (this.#lists.length === 0 && list.every((value) => value === undefined)) {
      this.#leadingUndefined += list.length
      return
    }
    // The list is copied, because the processor may reuse it. Not by `slice`, which calls the constructor of a subclass.
    this.#lists.push([...list])
    this.#count += list.length
  }

  /** Empty if every result was `undefined`, so that a long run of a processor that returns nothing needs no memory. */
  #joinResults(): Result[] {
    if (this.#count === 0) return []
    const results = new Array<Result>(this.#leadingUndefined + this.#count)
    results.fill(undefined as Result, 0, this.#leadingUndefined)
    let position = this.#leadingUndefined
    for (const list of this.#lists) {
      for (let index = 0; index < list.length; index++) results[position++] = list[index] as Result
    }
    return results
  }
}

function stopMessage({ failures, stopped }: BatchResult<unknown, unknown>, failed: number): string {
  const [first] = failures
  return stopped === 'maxFailures'
    ? `The batch was stopped after ${failed} failed items, the first at ${first?.index}`
    : `The batch was stopped by a failure at item ${first?.index}`
}
