export { type AsyncChunksOptions, asyncChunks } from './batch/async-chunks.ts'
export { batchProcess, batchProcessChunks } from './batch/batch-process.ts'
export type {
  Checkpoint,
  CheckpointStore,
  TransactionalCheckpointStore,
} from './batch/checkpoints/checkpoint-store.ts'
export { fileCheckpoints } from './batch/checkpoints/file-checkpoints.ts'
export { type KyselyCheckpointsOptions, kyselyCheckpoints } from './batch/checkpoints/kysely-checkpoints.ts'
export { memoryCheckpoints } from './batch/checkpoints/memory-checkpoints.ts'
export { chunks } from './batch/chunks.ts'
export { type BatchLimiter, type BatchWorkerOptions, batchWorker } from './batch/distributed/batch-worker.ts'
export type { BatchJob, BatchJobResult, BatchQueue, BatchWorker } from './batch/distributed/bullmq.ts'
export { type DistributeOptions, distributeBatches } from './batch/distributed/distribute-batches.ts'
export { type MapBatchesOptions, mapBatches } from './batch/map-batches.ts'
export type { BatchOptions, OnError } from './batch/options.ts'
export type { BatchContext } from './batch/processor-call.ts'
export type { BatchProgress } from './batch/progress.ts'
export { BatchError, type BatchFailure, type BatchResult } from './batch/result.ts'
export type { Items, ResumableSource } from './batch/source.ts'
export { PeerMissingError, PosthasteError } from './shared/errors.ts'
export { type RetryContext, type RetryEvent, type RetryOptions, withRetry } from './shared/retry.ts'
export type { Duration } from './shared/time/duration.ts'
