import {
  describeValue,
  expectFunction,
  expectObject,
  expectOptions,
  expectText,
  expectWholeNumber,
  type OptionKinds,
} from '../../shared/arguments.ts'
import { messageOf } from '../../shared/errors.ts'
import { requirePeer } from '../../shared/platform/peers.ts'
import { isRedisUrl, redisUrlForm } from '../../shared/redis-url.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import { processAll } from '../batch-process.ts'
import { type BatchOptions, type BatchSettings, parseBatchOptions } from '../options.ts'
import type { BatchContext } from '../processor-call.ts'
import { BatchError, type BatchResult } from '../result.ts'
import type { BatchJob, BatchJobResult, BatchWorker, RunningJob } from './bullmq.ts'

export interface BatchWorkerOptions<Item>
  extends Pick<BatchOptions<Item>, 'onError' | 'maxFailures' | 'retry' | 'timeout' | 'grace' | 'collect'> {
  /** The URL of Redis, or a value for BullMQ's `connection` option. */
  readonly connection: string | object
  /** Batches that this worker processes at the same time. @defaultValue 1 */
  readonly concurrency?: number | undefined
  /** The `prefix` option of the queue. @defaultValue BullMQ's default */
  readonly prefix?: string | undefined
  /** How long a worker may be silent before another one takes over its batch. @defaultValue '30s' */
  readonly takeOver?: Duration | undefined
  /**
   * BullMQ's rate limit, for all workers of the queue together: at most `max` batches are started in `duration`.
   * @defaultValue no limit
   */
  readonly limiter?: BatchLimiter | undefined
  /**
   * How often a batch is taken over before it counts as failed, because the batch itself may kill the workers.
   * @defaultValue 3
   */
  readonly maxTakeOvers?: number | undefined
}

/** BullMQ's rate limit. */
export interface BatchLimiter {
  readonly max: number
  /** A number is in milliseconds, as BullMQ takes it. */
  readonly duration: number | Duration
}

const batchWorkerOptions: OptionKinds<BatchWorkerOptions<unknown>> = {
  connection: 'own',
  concurrency: 'own',
  prefix: 'text',
  limiter: { max: 'own', duration: 'own' },
  takeOver: 'own',
  maxTakeOvers: 'own',
  onError: 'own',
  maxFailures: 'own',
  retry: 'own',
  timeout: 'own',
  grace: 'own',
  collect: 'boolean',
}

/**
 * Processes the batches that `distributeBatches` added to a queue, with a processor like that of `batchProcessChunks`. Any
 * number of workers, on any number of machines, can share a queue. If a worker dies, another one takes over its batch, so
 * each batch is processed at least once.
 *
 * With `onError: 'stop'`, a batch that fails becomes a failed job. Otherwise the job completes, and its return value
 * contains the failures ({@link BatchJobResult}). When the batch ends, the job's progress is updated.
 *
 * @returns the BullMQ worker, already running
 * @throws PeerMissingError when BullMQ or ioredis is not installed; TypeError or RangeError for a wrong argument
 *
 * @example
 * ```ts
 * const worker = batchWorker('reindex', (rows) => search.index(rows), { connection: 'redis://localhost:6379', retry: 3 })
 * process.once('SIGTERM', () => worker.close())
 * ```
 */
export function batchWorker<Item, Result = never>(
  queueName: string,
  processChunk: (
    chunk: readonly Item[],
    context: BatchContext,
    // biome-ignore lint/suspicious/noConfusingVoidType: a processor may return nothing
  ) => readonly Result[] | void | Promise<readonly Result[] | void>,
  options: BatchWorkerOptions<Item>,
): BatchWorker {
  expectText(queueName, 'queueName')
  expectFunction(processChunk, 'processChunk')
  expectOptions(options, batchWorkerOptions)
  const { connection, concurrency, prefix, limiter, takeOver, maxTakeOvers, ...rest } = options
  const settings = parseBatchOptions<Item, never>({ ...rest, concurrency: 1 }, 1)
  const workerOptions = {
    connection: parseConnection(connection),
    concurrency: expectWholeNumber(concurrency ?? 1, 'concurrency', { min: 1 }),
    lockDuration: parseDuration(takeOver ?? '30s', 'takeOver'),
    stalledInterval: parseDuration(takeOver ?? '30s', 'takeOver'),
    maxStalledCount: expectWholeNumber(maxTakeOvers ?? 3, 'maxTakeOvers'),
    ...(limiter === undefined ? {} : { limiter: parseLimiter(limiter) }),
    ...(prefix === undefined ? {} : { prefix }),
  }
  const { Worker, UnrecoverableError } = loadBullmq(workerOptions.connection)
  const worker = new Worker(
    queueName,
    async (job, _token, signal) => {
      const data = parseJob<Item>(job.data, UnrecoverableError)
      return processJob(job, data, processChunk as never, { ...settings, signal })
    },
    workerOptions,
  )
  // When a worker loses the lock of a batch, another worker takes the batch over: abort it here.
  worker.on('lockRenewalFailed', (ids: readonly string[]) => {
    for (const id of ids) worker.cancelJob?.(id, 'The batch was taken over')
  })
  return worker
}

/**
 * Checks the data of a job, because anybody may have added it to the queue. Wrong data never gets right, so the job is
 * not tried again, whatever its `attempts`.
 */
function parseJob<Item>(data: unknown, UnrecoverableError: BullmqModule['UnrecoverableError']): BatchJob<Item> {
  const { items, index, batch, key } = Object(data) as Partial<BatchJob<Item>>
  try {
    if (!Array.isArray(items)) throw new TypeError(`Expected \`items\` to be an array, got ${describeValue(items)}`)
    expectWholeNumber(index, 'index')
    expectWholeNumber(batch, 'batch')
    if (key !== undefined && typeof key !== 'string') {
      throw new TypeError(`Expected \`key\` to be a string or absent, got ${describeValue(key)}`)
    }
  } catch (error) {
    throw new UnrecoverableError(`This job is no batch of \`distributeBatches\`: ${messageOf(error)}`)
  }
  return data as BatchJob<Item>
}

async function processJob<Item>(
  job: RunningJob,
  { items, index, batch, key }: BatchJob<Item>,
  invoke: never,
  settings: BatchSettings<Item>,
): Promise<BatchJobResult<Item>> {
  const jobSettings: BatchSettings<Item> = {
    ...settings,
    batchSize: Math.max(1, items.length),
    origin: { index, batch, key },
  }
  let batchError: BatchError | undefined
  const result = await processAll<Item, unknown>(items, { kind: 'chunk', invoke }, jobSettings).catch((error) => {
    // The reason of a cancelled job is a string, but BullMQ only stores an Error.
    if (!(error instanceof BatchError)) throw error instanceof Error ? error : new Error(messageOf(error))
    batchError = error
    return error.result as BatchResult<Item, unknown>
  })
  const { processed, abandoned, results } = result
  const failed = result.failures.reduce((sum, failure) => sum + failure.items.length, 0)
  const failures = result.failures.map(({ error, ...failure }) => ({ error: messageOf(error), ...failure }))
  // The batch has ended, even if Redis cannot store its progress.
  await job.updateProgress({ processed, failed, abandoned, failures, total: items.length }).catch(() => {})
  if (batchError === undefined) return { results: toJson(results), processed, failed, abandoned, failures }
  // BullMQ stores only message and stack, and those of the user's error tell more.
  throw batchError.cause instanceof Error ? batchError.cause : batchError
}

/** The results as the queue stores them, bigints as texts: BullMQ fails a job whose results it cannot store. */
function toJson(results: readonly unknown[]): unknown[] {
  return JSON.parse(JSON.stringify(results, (_name, value) => (typeof value === 'bigint' ? String(value) : value)))
}

interface BullmqModule {
  readonly UnrecoverableError: new (message: string) => Error
  readonly RedisConnection?: { readonly clientFactory?: unknown }
  readonly Worker: new (
    name: string,
    process: (job: RunningJob, token?: string, signal?: AbortSignal) => Promise<unknown>,
    options: object,
  ) => BatchWorker & {
    on(event: 'lockRenewalFailed', listener: (ids: readonly string[]) => void): unknown
    cancelJob?(id: string, reason: string): boolean
  }
}

/** Without ioredis, a worker of BullMQ would try to connect again and again, without a pause. */
function loadBullmq(connection: object): BullmqModule {
  const [what, install] = ['`batchWorker`', 'npm i bullmq ioredis']
  const bullmq = requirePeer<BullmqModule>('bullmq', what, install)
  const isClient = typeof (connection as { duplicate?: unknown }).duplicate === 'function'
  if (!isClient && !bullmq.RedisConnection?.clientFactory) requirePeer('ioredis', what, install, 'bullmq')
  return bullmq
}

function parseLimiter(limiter: BatchLimiter): { max: number; duration: number } {
  const { max, duration } = limiter
  return {
    max: expectWholeNumber(max, 'limiter.max', { min: 1 }),
    duration:
      typeof duration === 'number'
        ? expectWholeNumber(duration, 'limiter.duration', { min: 1 })
        : parseDuration(duration, 'limiter.duration'),
  }
}

/** Splits a Redis URL, because not every version of BullMQ accepts a URL. */
function parseConnection(connection: unknown): object {
  if (typeof connection !== 'string') {
    expectObject(connection, 'connection')
    return connection as object
  }
  if (!isRedisUrl(connection)) throw new TypeError(`Expected \`connection\` to be ${redisUrlForm}, or an object`)
  const { protocol, hostname, port, username, password, pathname } = new URL(connection)
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    db: Number(pathname.slice(1) || 0),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  }
}
