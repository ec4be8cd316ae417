import { expectWholeNumber } from '../shared/assertions.ts'
import { asyncChunks } from './async-chunks.ts'
import type { BatchJob, BatchQueue } from './bullmq.ts'
import { expectIterable, type Items } from './source.ts'

/** Options of {@link distributeBatches}. */
export interface DistributeOptions {
  /** Items a job. @defaultValue 100 */
  readonly batchSize?: number | undefined
  /**
   * A name for this input. A batch that is in the queue under it already, waiting, running or finished, is not added
   * again, so that a distribution that was cut off can be repeated.
   */
  readonly key?: string | undefined
}

/** Jobs that travel to Redis at once. */
const jobsAtOnce = 50

/**
 * Puts items into a BullMQ queue, a batch a job, for {@link batchWorker}s on any number of machines.
 *
 * Items are read as they are sent, so the input may be larger than memory. They travel as JSON.
 *
 * @returns how many batches and items were offered
 *
 * @example
 * ```ts
 * const queue = new Queue('reindex', { connection })
 * await distributeBatches(queue, readRows(query, { unique: 'id' }), { batchSize: 500, key: 'reindex-2026-11' })
 * ```
 */
export async function distributeBatches<Item>(
  queue: BatchQueue,
  items: Items<Item>,
  { batchSize = 100, key }: DistributeOptions = {},
): Promise<{ batches: number; items: number }> {
  expectWholeNumber(batchSize, 'batchSize', { min: 1, max: 2 ** 32 - 1 })
  if (!(Symbol.asyncIterator in Object(items))) expectIterable(items)
  let batches = 0
  let count = 0
  for await (const group of asyncChunks(asyncChunks(items, batchSize), jobsAtOnce)) {
    const jobs = group.map((chunk) => {
      const data: BatchJob<Item> = {
        items: chunk,
        index: count,
        batch: batches++,
        ...(key === undefined ? {} : { key }),
      }
      count += chunk.length
      return { name: 'batch', data, ...(key === undefined ? {} : { opts: { jobId: jobId(key, data.batch) } }) }
    })
    await queue.addBulk(jobs)
  }
  return { batches, items: count }
}

/** BullMQ keeps colons, and identifiers that are numbers, for itself. */
function jobId(key: string, batch: number): string {
  return `${encodeURIComponent(key)}-${batch}`
}
