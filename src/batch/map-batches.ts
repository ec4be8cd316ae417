import { expectFunction, expectOptions } from '../shared/arguments.ts'
import { keepRunning } from '../shared/scope/work.ts'
import { untilAborted, withDeadline } from '../shared/time/waiting.ts'
import type { Batch } from './batch.ts'
import { openRun, type Processor } from './open-run.ts'
import { type BatchOptions, type BatchSettings, batchOptions, parseBatchOptions } from './options.ts'
import type { BatchContext } from './processor-call.ts'
import { ResultCollector } from './result-collector.ts'
import { closeDirectly, closingIfThrown, closingUnstarted, expectItems, type Items } from './source.ts'

export type MapBatchesOptions<Item> = Omit<BatchOptions<Item>, 'collect' | 'transaction'>

/**
 * Processes items in chunks, and yields the results one by one in the order of the input while it goes on.
 *
 * At most `concurrency` chunks are being processed or wait for the consumer, so a slow consumer slows the run. Of an async
 * source, one more chunk is read meanwhile. Leaving the loop stops the run: running calls are aborted and awaited, and the
 * source is closed. The checkpoint of a batch is saved when the consumer asks for the result after it.
 *
 * @param items - an array, an iterable or an async iterable, such as `readRows(...)`
 * @param processChunk - called with up to `batchSize` items and a {@link BatchContext}; returns a list of results, or nothing
 * @throws (in the loop) the errors of `batchProcessChunks`, after the results that come before the failure
 *
 * @example
 * ```ts
 * for await (const vector of mapBatches(texts, (chunk) => embed(chunk), { batchSize: 64, concurrency: 4 })) save(vector)
 * ```
 */
export function mapBatches<Item, Result>(
  items: Items<Item>,
  processChunk: (
    chunk: readonly Item[],
    context: BatchContext,
    // biome-ignore lint/suspicious/noConfusingVoidType: a processor may return nothing
  ) => readonly Result[] | void | Promise<readonly Result[] | void>,
  options: MapBatchesOptions<Item> = {},
): AsyncIterableIterator<Result> {
  const close = () => closeDirectly(items)
  const settings = closingIfThrown(
    () => close().catch(() => {}),
    () => {
      expectFunction(processChunk, 'processChunk')
      expectItems(items)
      const { collect: _collect, transaction: _transaction, ...kinds } = batchOptions
      expectOptions(options, kinds)
      return parseBatchOptions({ ...options, collect: true, transaction: undefined }, 1)
    },
  )
  const consumer = new AbortController()
  const results = yieldResults<Item, Result>(
    items,
    { kind: 'chunk', invoke: processChunk as never },
    settings,
    consumer,
  )
  return closingUnstarted(results, (isStarted) => (isStarted ? consumer.abort() : close()))
}

async function* yieldResults<Item, Result>(
  items: Items<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
  consumer: AbortController,
): AsyncGenerator<Result, void, void> {
  const signal = settings.signal === undefined ? consumer.signal : AbortSignal.any([settings.signal, consumer.signal])
  const opened = await keepRunning(() => openRun(items, processor, { ...settings, signal }, { readsAhead: true }))
  const { run, checkpointer } = opened
  const buffer = new ReorderBuffer<Item>(run.signal)
  const collector = new ResultCollector<Item, Result>(true)
  const onBatch = (batch: Batch<Item>) => {
    opened.reportProgress()
    return buffer.put(batch)
  }
  const executed = keepRunning(() => run.execute(onBatch)).then(() => buffer.close())
  let isLeft = false
  try {
    for (let index = 0; ; index++) {
      const batch = await buffer.take(index)
      if (batch === undefined || run.stopReason?.kind === 'thrown') break
      for (const list of batch.takeValues()) yield* (list ?? []) as Result[]
      await withinGrace(checkpointer.save(batch.end, batch.cursor), settings)
      collector.add(batch)
      buffer.release(index)
    }
  } finally {
    // `return()` was called while `next()` was waiting.
    isLeft = consumer.signal.aborted
    consumer.abort()
    await executed
    await opened.close(settings.signal?.aborted === true)
  }
  if (isLeft) return
  for (const batch of buffer.untaken()) collector.add(batch)
  collector.toResult(opened)
}

/** Waits, after an abort up to `grace`. */
async function withinGrace(
  saving: Promise<void> | undefined,
  { signal, graceMs }: Pick<BatchSettings<unknown>, 'signal' | 'graceMs'>,
): Promise<void> {
  if (saving === undefined) return
  return untilAborted(saving, signal).catch((error: unknown) => {
    if (signal?.aborted !== true) throw error
    const giveUp = () => {
      throw signal.reason
    }
    return withDeadline(saving, graceMs, giveUp)
  })
}

/**
 * Holds finished batches until the consumer takes them in order. A worker that puts a batch waits until the batch is
 * released.
 */
class ReorderBuffer<Item> {
  readonly #batches = new Map<number, Batch<Item>>()
  readonly #workersWaiting = new Map<number, () => void>()
  readonly #stopped: AbortSignal
  #isClosed = false
  #wakeConsumer: () => void = () => {}

  constructor(stopped: AbortSignal) {
    this.#stopped = stopped
    // The workers of a stopped run must end, even if the consumer takes nothing more.
    stopped.addEventListener('abort', () => {
      for (const index of [...this.#workersWaiting.keys()]) this.release(index)
    })
  }

  put(batch: Batch<Item>): Promise<void> {
    this.#batches.set(batch.index, batch)
    this.#wakeConsumer()
    if (this.#stopped.aborted) return Promise.resolve()
    return new Promise((resolve) => this.#workersWaiting.set(batch.index, resolve))
  }

  /** Resolves with the batch of this index, or with `undefined` if the run ended without it. */
  async take(index: number): Promise<Batch<Item> | undefined> {
    while (!this.#batches.has(index) && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#wakeConsumer = resolve
      })
    }
    const batch = this.#batches.get(index)
    this.#batches.delete(index)
    return batch
  }

  /** Finished batches that come after a batch that never finished. */
  untaken(): Iterable<Batch<Item>> {
    return this.#batches.values()
  }

  /** Lets the worker of this batch go on. */
  release(index: number): void {
    this.#workersWaiting.get(index)?.()
    this.#workersWaiting.delete(index)
  }

  close(): void {
    this.#isClosed = true
    this.#wakeConsumer()
  }
}
