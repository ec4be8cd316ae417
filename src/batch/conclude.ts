import { BatchError, type BatchResult } from './errors.ts'
import type { OpenRun } from './open-run.ts'
import type { Tally } from './tally.ts'

/**
 * What a finished run did.
 *
 * @throws BatchError when a failure of the processor stopped it; anything else that did, unchanged
 */
export function conclude<Item, Result>(
  { run, checkpointer }: OpenRun<Item>,
  tally: Tally<Item, Result>,
  elapsedMs: number,
): BatchResult<Item, Result> {
  const { stop, counts, batches, abandoned } = run
  if (stop?.kind === 'thrown') throw stop.error
  tally.addRest(run.open)
  const result: BatchResult<Item, Result> = {
    results: tally.results,
    failures: tally.failures,
    processed: counts.processed,
    batches,
    resumed: checkpointer.resumed,
    abandoned,
    stopped: stop?.kind ?? false,
    elapsedMs,
  }
  if (stop === undefined) return result
  throw new BatchError(stopMessage(result, counts.failed), { result, cause: stop.error })
}

function stopMessage({ failures, stopped }: BatchResult<unknown, unknown>, failed: number): string {
  const [first] = failures
  return stopped === 'maxFailures'
    ? `The batch was stopped after ${failed} failed items, the first at ${first?.index}`
    : `The batch was stopped by a failure at item ${first?.index}`
}
