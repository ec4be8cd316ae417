import { expectFunction } from '../shared/arguments.ts'
import { keepRunning } from '../shared/scope/work.ts'
import { openRun, type Processor } from './open-run.ts'
import { type BatchOptions, type BatchSettings, parseBatchOptions } from './options.ts'
import type { BatchContext } from './processor-call.ts'
import type { BatchResult } from './result.ts'
import { ResultCollector } from './result-collector.ts'
import { closingOnError, type Items } from './source.ts'

/**
 * Processes items one by one, with `concurrency` calls at a time. When the promise settles, no call is running any more.
 *
 * @param items - an array, an iterable or an async iterable, such as `readRows(...)`
 * @param processItem - called with the item and a {@link BatchContext}; returns the item's result
 * @throws BatchError when a failure stops the run; the signal's reason after an abort; any error of the source or a hook;
 * TypeError or RangeError for a wrong argument
 *
 * @example
 * ```ts
 * const { results, failures } = await batchProcess(users, (user, { signal }) => mail.send(user, { signal }), {
 *   concurrency: 20, retry: 3, onError: 'skip', timeout: '10s',
 * })
 * ```
 */
export async function batchProcess<Item, Result, DB = never>(
  items: Items<Item>,
  processItem: (item: Item, context: BatchContext<DB>) => Result | Promise<Result>,
  options: BatchOptions<Item, DB> = {},
): Promise<BatchResult<Item, Awaited<Result>>> {
  const settings = await closingOnError(items, () => {
    expectFunction(processItem, 'processItem')
    return parseBatchOptions(options, 10)
  })
  return processAll(items, { kind: 'item', invoke: processItem as never }, settings)
}

/**
 * Processes items in chunks of `batchSize`: one call, one statement or one request for many items.
 *
 * @param items - an array, an iterable or an async iterable, such as `readRows(...)`
 * @param processChunk - called with up to `batchSize` items and a {@link BatchContext}; returns a list of results, or nothing
 * @throws BatchError when a failure stops the run; the signal's reason after an abort; any error of the source or a hook
 *
 * @example
 * ```ts
 * await batchProcessChunks(readRows(query, { unique: 'id' }), (rows) => search.index(rows), {
 *   onError: 'isolate', checkpoint: { key: 'reindex', store: kyselyCheckpoints(db) },
 * })
 * ```
 */
export async function batchProcessChunks<Item, Result = never, DB = never>(
  items: Items<Item>,
  processChunk: (
    chunk: readonly Item[],
    context: BatchContext<DB>,
    // biome-ignore lint/suspicious/noConfusingVoidType: a processor may return nothing
  ) => readonly Result[] | void | Promise<readonly Result[] | void>,
  options: BatchOptions<Item, DB> = {},
): Promise<BatchResult<Item, Result>> {
  const settings = await closingOnError(items, () => {
    expectFunction(processChunk, 'processChunk')
    return parseBatchOptions(options, 1)
  })
  return processAll(items, { kind: 'chunk', invoke: processChunk as never }, settings)
}

/** Runs the processor over all items, and collects the results. A batch goes on when the client that began it has left. */
export function processAll<Item, Result>(
  items: Items<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
): Promise<BatchResult<Item, Result>> {
  return keepRunning(async () => {
    const opened = await openRun(items, processor, settings)
    const { run, checkpointer } = opened
    const collector = new ResultCollector<Item, Result>(opened.returnsLists)
    await run.execute((batch) => {
      const reached = collector.add(batch)
      opened.reportProgress()
      return reached && checkpointer.save(reached.end, reached.cursor)
    })
    await opened.close(settings.signal?.aborted === true)
    return collector.toResult(opened)
  })
}
