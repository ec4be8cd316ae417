import { conclude } from './conclude.ts'
import type { BatchContext } from './context.ts'
import { openRun, type Processor } from './open-run.ts'
import { type BatchOptions, type BatchSettings, parseBatchOptions } from './options.ts'
import { progressOf } from './progress.ts'
import type { Items } from './source.ts'
import { Tally } from './tally.ts'
import type { Unit } from './unit.ts'

/** Options of {@link mapBatches}. */
export type MapBatchesOptions<Item> = Omit<BatchOptions<Item>, 'collect' | 'transaction'>

/**
 * Processes items in chunks and hands out the results one by one, in the order of the input, while it goes on.
 *
 * At most `concurrency` chunks are being processed or waiting for the reader, so a slow reader slows the run. Leaving the
 * loop stops it: what is running is told and waited for, and the source is closed. A checkpoint is saved when the reader
 * asks for more than the batch's results.
 *
 * @param items - an array, any iterable or async iterable, `readRows(...)` included
 * @param processChunk - called with up to `batchSize` items and a {@link BatchContext}; returns a list of results, or nothing
 * @throws (while reading) what `batchProcessChunks` rejects with, after the results that come before
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
  const settings = parseBatchOptions({ ...options, collect: true, transaction: undefined }, 1)
  return stream(items, { kind: 'chunk', invoke: processChunk as never }, settings)
}

async function* stream<Item, Result>(
  items: Items<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
): AsyncGenerator<Result, void, void> {
  const { clock, onProgress } = settings
  const started = clock()
  const reader = new AbortController()
  const signal = settings.signal === undefined ? reader.signal : AbortSignal.any([settings.signal, reader.signal])
  const opened = await openRun(items, processor, { ...settings, signal })
  const { run, checkpointer, total, close } = opened
  const shelf = new Shelf<Item>(run.signal)
  const tally = new Tally<Item, Result>(true)
  run.onBatch = (unit) => {
    onProgress?.(progressOf(run.counts, checkpointer.resumed, total, clock() - started))
    return shelf.put(unit)
  }
  const finished = run.finish().then(() => shelf.close())
  try {
    for (let index = 0; ; index++) {
      const unit = await shelf.take(index)
      if (unit === undefined || run.stop?.kind === 'thrown') break
      yield* unit.values.flat() as Result[]
      await checkpointer.save(unit.end, unit.cursor)
      unit.values.length = 0
      tally.add(unit)
      shelf.release(index)
    }
  } finally {
    reader.abort()
    await finished
    await close()
  }
  conclude(opened, tally, clock() - started)
}

/** Finished batches, until the reader has taken them in order; whoever put one there waits until it was released. */
class Shelf<Item> {
  readonly #units = new Map<number, Unit<Item>>()
  readonly #waiting = new Map<number, () => void>()
  readonly #stopped: AbortSignal
  #closed = false
  #changed: () => void = () => {}

  constructor(stopped: AbortSignal) {
    this.#stopped = stopped
    // A stopped run must be able to end: nobody waits for the reader any more.
    stopped.addEventListener('abort', () => {
      for (const index of [...this.#waiting.keys()]) this.release(index)
    })
  }

  put(unit: Unit<Item>): Promise<void> {
    this.#units.set(unit.index, unit)
    this.#changed()
    if (this.#stopped.aborted) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.set(unit.index, resolve))
  }

  /** The batch of this number; `undefined` when it will not come. */
  async take(index: number): Promise<Unit<Item> | undefined> {
    while (!this.#units.has(index) && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
    const unit = this.#units.get(index)
    this.#units.delete(index)
    return unit
  }

  release(index: number): void {
    this.#waiting.get(index)?.()
    this.#waiting.delete(index)
  }

  close(): void {
    this.#closed = true
    this.#changed()
  }
}
