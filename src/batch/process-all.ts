import { conclude } from './conclude.ts'
import type { BatchResult } from './errors.ts'
import { openRun, type Processor } from './open-run.ts'
import type { BatchSettings } from './options.ts'
import { progressOf } from './progress.ts'
import type { Items } from './source.ts'
import { Tally } from './tally.ts'

/** Runs to the end and keeps what was returned. */
export async function processAll<Item, Result>(
  items: Items<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
): Promise<BatchResult<Item, Result>> {
  const { clock, onProgress } = settings
  const started = clock()
  const opened = await openRun(items, processor, settings)
  const { run, checkpointer, returnsLists, total, close } = opened
  const { resumed } = checkpointer
  const tally = new Tally<Item, Result>(returnsLists)
  run.onBatch = (unit) => {
    const reached = tally.add(unit)
    onProgress?.(progressOf(run.counts, resumed, total, clock() - started))
    return reached && checkpointer.save(reached.end, reached.cursor)
  }
  await run.finish()
  await close()
  return conclude(opened, tally, clock() - started)
}
