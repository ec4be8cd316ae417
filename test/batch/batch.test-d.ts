import { Queue, type Worker } from 'bullmq'
import type { Kysely, Transaction } from 'kysely'
import {
  type BatchContext,
  type BatchLimiter,
  type BatchResult,
  type BatchWorker,
  batchProcess,
  batchProcessChunks,
  batchWorker,
  chunks,
  distributeBatches,
  mapBatches,
} from 'posthaste'
import { expectTypeOf } from 'vitest'

interface Tables {
  done: { item: number }
}
declare const db: Kysely<Tables>
declare const worker: Worker

// Results have the type that the processor returns, awaited or not.
expectTypeOf(batchProcess(['a'], (item) => item.length)).toEqualTypeOf<Promise<BatchResult<string, number>>>()
expectTypeOf(batchProcess(['a'], async (item) => item.length)).toEqualTypeOf<Promise<BatchResult<string, number>>>()
expectTypeOf(batchProcessChunks(new Set([1]), (chunk) => chunk.map(String))).toEqualTypeOf<
  Promise<BatchResult<number, string>>
>()
expectTypeOf(batchProcessChunks([1], () => {})).toEqualTypeOf<Promise<BatchResult<number, never>>>()
expectTypeOf(mapBatches([1], async (chunk) => chunk.map(String))).toEqualTypeOf<AsyncIterableIterator<string>>()
expectTypeOf(chunks('abc')).toEqualTypeOf<IterableIterator<string[]>>()

// `ctx.trx` is there, and typed, exactly when `transaction` is given, beside a hook of any kind.
batchProcess([1], (_, { trx }) => expectTypeOf(trx).toEqualTypeOf<Transaction<Tables>>(), {
  transaction: db,
  onProgress: ({ processed }) => processed,
})
// @ts-expect-error -- there is no transaction
batchProcess([1], (_, { trx }) => trx)
// @ts-expect-error -- nor here, beside other options
batchProcess([1], (_, { trx }) => trx, { concurrency: 1 })
// @ts-expect-error -- results are handed out before they could commit
mapBatches([1], (chunk) => chunk, { transaction: db })
// @ts-expect-error -- and are never kept
mapBatches([1], (chunk) => chunk, { collect: true })

// @ts-expect-error -- durations have a unit
batchProcess([1], () => 1, { timeout: 500 })
// @ts-expect-error -- no such policy
batchProcess([1], () => 1, { onError: 'ignore' })
// @ts-expect-error -- no such option
batchProcess([1], () => 1, { batchsize: 5 })
// @ts-expect-error -- a chunk's processor returns a list
batchProcessChunks([1], () => 1)
// @ts-expect-error -- the chunk belongs to the run
batchProcessChunks([1], (chunk) => void chunk.push(2))

expectTypeOf<BatchContext['signal']>().toEqualTypeOf<AbortSignal>()

// BullMQ's own classes fit.
distributeBatches(new Queue('q', { connection: {} }), [1])
expectTypeOf(worker).toExtend<Pick<BatchWorker, 'close' | 'name' | 'pause' | 'resume' | 'isRunning'>>()

// BullMQ's rate limit, in its own numbers or with a unit.
batchWorker('q', () => {}, { connection: {}, limiter: { max: 10, duration: '1s' } })
batchWorker('q', () => {}, { connection: {}, limiter: { max: 10, duration: 1_000 } satisfies BatchLimiter })
// @ts-expect-error -- both are needed
batchWorker('q', () => {}, { connection: {}, limiter: { max: 10 } })
