import { watchRejection } from '../shared/rejections.ts'
import { sleep, untilAborted } from '../shared/time/waiting.ts'
import { type Checkpoint, parseCheckpoint } from './checkpoints/checkpoint-store.ts'
import { Checkpointer } from './checkpoints/checkpointer.ts'
import { callForEach, inTransaction } from './checkpoints/transaction.ts'
import type { BatchSettings } from './options.ts'
import { type Invoke, withRetries, withTimeout } from './processor-call.ts'
import { progressOf } from './progress.ts'
import { ReadAhead } from './read-ahead.ts'
import { type Inputs, Run, type Work } from './run.ts'
import { closingOnError, endOfInput, type Items, isResumable, Source } from './source.ts'

/** The user's function, and whether it is called with an item or with a chunk. */
export type Processor<Item> =
  | { readonly kind: 'item'; readonly invoke: Invoke<Item, unknown> }
  | { readonly kind: 'chunk'; readonly invoke: Invoke<readonly Item[], unknown> }

/** A run that is ready to be executed. */
export interface OpenRun<Item> {
  readonly run: Run<Item>
  readonly checkpointer: Checkpointer
  /** Whether each call returns a list of results, or one result. */
  readonly returnsLists: boolean
  /** Calls the user's `onProgress`. */
  reportProgress(): void
  /** The time since the run was opened. */
  elapsedMs(): number
  /** Closes the source. Waits up to `grace` for a pending read, but not after an abort. */
  close(isAborted: boolean): Promise<void>
}

/**
 * Opens the source at the checkpoint, and wraps the processor as the options say. If the run cannot begin, the source is
 * closed.
 */
export async function openRun<Item>(
  items: Items<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
  { readsAhead = false }: { readonly readsAhead?: boolean } = {},
): Promise<OpenRun<Item>> {
  const { clock, checkpoint, transaction, signal, graceMs } = settings
  // Opened before the checkpoint is loaded: meanwhile, `node:readline` loses the lines that nobody asked for.
  const opened = await closingOnError(items, () => {
    signal?.throwIfAborted()
    return isResumable(items) ? undefined : new Source(items)
  })
  const { saved, startedAt } = await closingOnError(opened ?? items, async () => {
    const startedAt = clock()
    return { saved: await loadCheckpoint(settings), startedAt }
  })
  const source = await openSource(items, opened, saved, signal)
  const checkpointer = new Checkpointer(checkpoint, saved?.processed ?? 0, transaction)
  const run = createRun(source, processor, settings, { checkpointer, readsAhead })
  const total = settings.total ?? sizeOf(items)
  const elapsedMs = () => clock() - startedAt
  return {
    run,
    checkpointer,
    returnsLists: processor.kind === 'chunk' || transaction !== undefined,
    reportProgress() {
      const returned: unknown = settings.onProgress?.(progressOf(run.counts, checkpointer.resumed, total, elapsedMs()))
      watchRejection(returned, (error) => run.halt('thrown', error))
    },
    elapsedMs,
    // An error of closing is reported only if nothing else has stopped the run.
    close: (isAborted) => source.close(graceMs, isAborted).catch((error) => run.halt('thrown', error)),
  }
}

async function loadCheckpoint<Item>({ signal, checkpoint, transaction }: BatchSettings<Item>) {
  if (checkpoint === undefined) return undefined
  const { key } = checkpoint
  const saved: unknown = await untilAborted(
    transaction?.checkpoint?.store.open(key) ?? checkpoint.store.load(key),
    signal,
  )
  signal?.throwIfAborted()
  // A user's store may return anything.
  return saved === undefined || saved === null ? undefined : parseCheckpoint(saved, `the checkpoint '${key}'`)
}

/** Makes the run that calls the processor, wrapped as the options say, with the items of the source. */
function createRun<Item>(
  source: Source<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
  { checkpointer, readsAhead }: { readonly checkpointer: Checkpointer; readonly readsAhead: boolean },
): Run<Item> {
  const { batchSize, delayMs, transaction, timeoutMs, graceMs, retrier } = settings
  const controller = new AbortController()
  controller.signal.addEventListener('abort', () => source.interrupt())
  source.keepsCursors = transaction?.checkpoint !== undefined

  const limit = <Input>(invoke: Invoke<Input, unknown>) =>
    timeoutMs === undefined ? invoke : withTimeout(invoke, timeoutMs, graceMs)
  const repeat = <Input>(invoke: Invoke<Input, unknown>) =>
    retrier === undefined ? invoke : withRetries(invoke, retrier)
  const ahead = readsAhead && source.isAsync ? new ReadAhead(source, batchSize) : undefined
  const cursorAt = (position: number) => (ahead ?? source).cursorAt(position)
  const runOf = <Input>(source: Inputs<Input>, invoke: Invoke<Input, unknown>, isChunked: boolean) => {
    const inputsPerBatch = isChunked ? 1 : batchSize
    const inputs = createInputs(source, { inputsPerBatch, delayMs, signal: controller.signal })
    const work = { inputs, invoke: repeat(invoke), inputsPerBatch, isChunked, start: checkpointer.resumed, cursorAt }
    return new Run<Item>(work as unknown as Work, settings, controller)
  }

  if (processor.kind === 'item' && transaction === undefined) return runOf(source, limit(processor.invoke), false)
  const perChunk = processor.kind === 'item' ? callForEach(limit(processor.invoke)) : limit(processor.invoke)
  const invoke = transaction === undefined ? perChunk : inTransaction(perChunk, transaction, checkpointer, cursorAt)
  return runOf(chunksOf(source, batchSize, ahead), invoke, true)
}

/** Seeks to the checkpoint if the source has cursors; otherwise reads the items before the checkpoint and drops them. */
async function openSource<Item>(
  items: Items<Item>,
  opened: Source<Item> | undefined,
  saved: Checkpoint | undefined,
  signal: AbortSignal | undefined,
): Promise<Source<Item>> {
  if (saved === undefined) return opened ?? new Source(items)
  const { processed, cursor } = saved
  if (cursor !== undefined && isResumable(items)) {
    return closingOnError(items, () => new Source(items.resumeFrom(cursor), processed, items))
  }
  const source = opened ?? new Source(items)
  const interrupt = () => source.interrupt()
  signal?.addEventListener('abort', interrupt)
  return closingOnError(source, async () => {
    await source.skip(processed).finally(() => signal?.removeEventListener('abort', interrupt))
    signal?.throwIfAborted()
    return source
  })
}

function chunksOf<Item>(source: Source<Item>, size: number, ahead: ReadAhead<Item> | undefined): Inputs<Item[]> {
  return {
    isAsync: source.isAsync,
    take: () => source.takeChunk(size),
    takeAsync: () => (ahead === undefined ? source.takeChunkAsync(size) : ahead.take()),
  }
}

/**
 * Lets workers read a source at the same time: asynchronous reads queue up. Waits `delayMs` before each batch except the
 * first.
 */
function createInputs<Input>(
  source: Inputs<Input>,
  { inputsPerBatch, delayMs, signal }: { inputsPerBatch: number; delayMs: number; signal: AbortSignal },
): Inputs<Input> {
  let taken = 0
  let hasEnded = false
  const read = async () => {
    if (hasEnded || signal.aborted) return endOfInput
    const isPaused = delayMs > 0 && taken > 0 && taken % inputsPerBatch === 0
    const pausedAt = isPaused ? performance.now() : 0
    taken++
    const input = source.isAsync ? await source.takeAsync() : source.take()
    hasEnded = input === endOfInput
    // The pause comes after the read, because after the last batch there is nothing to wait for.
    const pauseMs = isPaused && !hasEnded ? pausedAt + delayMs - performance.now() : 0
    if (pauseMs <= 0) return input
    await sleep(pauseMs, { signal }).catch(() => {})
    return signal.aborted ? endOfInput : input
  }
  let lastRead: Promise<Input | typeof endOfInput> | undefined
  return {
    isAsync: source.isAsync || delayMs > 0,
    take: () => source.take(),
    takeAsync: () => (lastRead = lastRead === undefined ? read() : lastRead.then(read)),
  }
}

function sizeOf(items: unknown): number | undefined {
  if (Array.isArray(items)) return items.length
  return items instanceof Set || items instanceof Map ? items.size : undefined
}
