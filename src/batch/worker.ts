import { createRequire } from 'node:module'
import { expectWholeNumber } from '../shared/assertions.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { PeerMissingError } from '../shared/errors.ts'
import type { BatchJob, BatchJobResult, BatchWorker, RunningJob } from './bullmq.ts'
import type { BatchContext } from './context.ts'
import { BatchError, type BatchResult } from './errors.ts'
import { type BatchOptions, type BatchSettings, parseBatchOptions } from './options.ts'
import { processAll } from './process-all.ts'

/** Options of {@link batchWorker}. */
export interface BatchWorkerOptions<Item>
  extends Pick<BatchOptions<Item>, 'onError' | 'maxFailures' | 'retry' | 'timeout' | 'grace' | 'collect'> {
  /** The address of Redis, or what BullMQ's own `connection` takes. */
  readonly connection: string | object
  /** Batches that this worker processes at a time. @defaultValue 1 */
  readonly concurrency?: number | undefined
  /** The `prefix` that the queue was made with. @defaultValue BullMQ's */
  readonly prefix?: string | undefined
  /** How long nothing is heard of a worker before another one takes its batch over. @defaultValue '30s' */
  readonly takeOver?: Duration | undefined
  /** How often a batch is taken over before it counts as failed, because it may be what kills the workers. @defaultValue 3 */
  readonly maxTakeOvers?: number | undefined
}

/**
 * Processes the batches of {@link distributeBatches}, with the processor that `batchProcessChunks` takes. Any number of
 * workers, on any number of machines, share a queue; the batch of one that dies is taken over by another one, so a batch
 * is processed at least once.
 *
 * With `onError: 'stop'` a failing batch becomes a failed job; otherwise the job completes, and its return value holds the
 * failures ({@link BatchJobResult}). While it runs, its progress can be read from the job.
 *
 * @returns the BullMQ worker, which is running
 * @throws PeerMissingError when BullMQ is not installed
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
  { connection, concurrency = 1, prefix, takeOver = '30s', maxTakeOvers = 3, ...options }: BatchWorkerOptions<Item>,
): BatchWorker {
  const settings = parseBatchOptions<Item, never>({ ...options, concurrency: 1 }, 1)
  const takeOverMs = parseDuration(takeOver, 'takeOver')
  const { Worker } = requireBullmq()
  const worker = new Worker(
    queueName,
    (job: RunningJob, _token?: string, signal?: AbortSignal) =>
      processJob(job as RunningJob & { data: BatchJob<Item> }, processChunk as never, { ...settings, signal }),
    {
      connection: typeof connection === 'string' ? connectionOf(connection) : connection,
      concurrency: expectWholeNumber(concurrency, 'concurrency', { min: 1 }),
      lockDuration: takeOverMs,
      stalledInterval: takeOverMs,
      maxStalledCount: expectWholeNumber(maxTakeOvers, 'maxTakeOvers'),
      ...(prefix === undefined ? {} : { prefix }),
    },
  )
  // Whoever lost its lock is taken for dead, and has to leave the batch to its successor.
  worker.on('lockRenewalFailed', (ids: readonly string[]) => {
    for (const id of ids) worker.cancelJob?.(id, 'The batch was taken over')
  })
  return worker
}

async function processJob<Item>(
  job: RunningJob & { readonly data: BatchJob<Item> },
  invoke: never,
  settings: BatchSettings<Item>,
): Promise<BatchJobResult<Item>> {
  const { items, index, batch, key } = job.data
  const forJob: BatchSettings<Item> = {
    ...settings,
    batchSize: Math.max(1, items.length),
    origin: { index, batch, key },
  }
  try {
    const result = await processAll<Item, unknown>(items, { kind: 'chunk', invoke }, forJob)
    const { results, ...counts } = summaryOf(result)
    await job.updateProgress({ ...counts, total: items.length })
    return { results, ...counts }
  } catch (error) {
    // As the reason of a job that is cancelled, of which BullMQ keeps nothing unless it is an error.
    if (!(error instanceof BatchError)) throw error instanceof Error ? error : new Error(messageOf(error))
    const { results: _, ...counts } = summaryOf(error.result as BatchResult<Item, unknown>)
    await job.updateProgress({ ...counts, total: items.length })
    // BullMQ keeps the message and the stack: those of the user's error say more.
    throw error.cause instanceof Error ? error.cause : error
  }
}

function summaryOf<Item, Result>(result: BatchResult<Item, Result>): BatchJobResult<Item, Result> {
  const { processed, abandoned, results, failures } = result
  return {
    processed,
    failed: failures.reduce((sum, { items }) => sum + items.length, 0),
    abandoned,
    results,
    failures: failures.map(({ error, ...failure }) => ({ error: messageOf(error), ...failure })),
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

interface WorkerClass {
  new (
    name: string,
    process: (job: RunningJob, token?: string, signal?: AbortSignal) => Promise<unknown>,
    options: object,
  ): BatchWorker & {
    on(event: 'lockRenewalFailed', listener: (ids: readonly string[]) => void): unknown
    cancelJob?(id: string, reason: string): boolean
  }
}

/** Synchronous, because the worker is returned and not promised. */
function requireBullmq(): { readonly Worker: WorkerClass } {
  try {
    return createRequire(import.meta.url)('bullmq')
  } catch (cause) {
    if ((cause as { code?: unknown }).code !== 'MODULE_NOT_FOUND') throw cause
    throw new PeerMissingError('`batchWorker` needs a package that is not installed: npm i bullmq ioredis', { cause })
  }
}

/** The parts of a Redis URL, as every version of BullMQ takes them. */
function connectionOf(url: string): object {
  if (!/^rediss?:\/\//.test(url) || !URL.canParse(url)) {
    // The value stays out of the message: it may hold a password.
    throw new TypeError('Expected `connection` to be a URL that starts with redis:// or rediss://, or an object')
  }
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port || 6379),
    db: Number(pathname.slice(1) || 0),
    ...(username === '' ? {} : { username: decodeURIComponent(username) }),
    ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  }
}
