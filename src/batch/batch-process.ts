import type { BatchContext } from './context.ts'
import type { BatchResult } from './errors.ts'
import { type BatchOptions, parseBatchOptions } from './options.ts'
import { processAll } from './process-all.ts'
import type { Items } from './source.ts'

/**
 * Processes items one by one, `concurrency` of them at a time, and settles only when no call is running any more.
 *
 * @param items - an array, any iterable or async iterable, `readRows(...)` included
 * @param processItem - called with the item and a {@link BatchContext}; what it returns is a result
 * @throws BatchError when a failure stops the run; the signal's reason after an abort; what the source or a hook threw
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
  return processAll(items, { kind: 'item', invoke: processItem as never }, parseBatchOptions(options, 10))
}

/**
 * Processes items in chunks of `batchSize`: one call, one statement, one request for many items.
 *
 * @param items - an array, any iterable or async iterable, `readRows(...)` included
 * @param processChunk - called with up to `batchSize` items and a {@link BatchContext}; returns a list of results, or nothing
 * @throws BatchError when a failure stops the run; the signal's reason after an abort; what the source or a hook threw
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
  return processAll(items, { kind: 'chunk', invoke: processChunk as never }, parseBatchOptions(options, 1))
}
