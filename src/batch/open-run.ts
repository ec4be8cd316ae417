import { retried, timed } from './calls.ts'
import { Checkpointer } from './checkpointer.ts'
import type { Checkpoint } from './checkpoints.ts'
import type { Invoke } from './context.ts'
import { chunkFeed, itemFeed } from './feed.ts'
import type { BatchSettings } from './options.ts'
import { Run, type Work } from './run.ts'
import { type Items, isResumable, Source } from './source.ts'
import { inTransaction, itemized } from './transaction.ts'

/** The user's function, and what it is called with. */
export type Processor<Item> =
  | { readonly kind: 'item'; readonly invoke: Invoke<Item, unknown> }
  | { readonly kind: 'chunk'; readonly invoke: Invoke<readonly Item[], unknown> }

/** A run that is ready to go. */
export interface OpenRun<Item> {
  readonly run: Run<Item>
  readonly checkpointer: Checkpointer
  /** Whether each call returns a list of results, or one. */
  readonly returnsLists: boolean
  /** Items in all, where that is known. */
  readonly total: number | undefined
  /** Closes the source. */
  close(): Promise<void>
}

/** Puts a run together: the source from its checkpoint on, and the processor with what the options wrap around it. */
export async function openRun<Item>(
  items: Items<Item>,
  processor: Processor<Item>,
  settings: BatchSettings<Item>,
): Promise<OpenRun<Item>> {
  const { batchSize, delayMs, signal, checkpoint, transaction, timeoutMs, graceMs, retrier } = settings
  signal?.throwIfAborted()
  const controller = new AbortController()
  const saved = await (transaction?.checkpoint
    ? transaction.checkpoint.store.open(transaction.checkpoint.key)
    : checkpoint?.store.load(checkpoint.key))
  signal?.throwIfAborted()
  const source = await openSource(items, saved, signal)
  controller.signal.addEventListener('abort', () => source.interrupt())
  const checkpointer = new Checkpointer(settings, saved?.processed ?? 0)

  const limit = <Input>(invoke: Invoke<Input, unknown>) =>
    timeoutMs === undefined ? invoke : timed(invoke, timeoutMs, graceMs)
  const repeat = <Input>(invoke: Invoke<Input, unknown>) => (retrier === undefined ? invoke : retried(invoke, retrier))
  const cursorAt = (position: number) => source.cursorAt(position)
  const feedOptions = { delayMs, signal: controller.signal }
  const makeRun = <Input>(work: Pick<Work<Input>, 'feed' | 'invoke' | 'perBatch' | 'isChunked'>) =>
    new Run<Item>({ ...(work as Work), start: checkpointer.resumed, cursorAt }, settings, controller)

  let run: Run<Item>
  if (processor.kind === 'item' && transaction === undefined) {
    const feed = itemFeed(source, { ...feedOptions, perBatch: batchSize })
    run = makeRun({ feed, invoke: repeat(limit(processor.invoke)), perBatch: batchSize, isChunked: false })
  } else {
    const feed = chunkFeed(source, batchSize, { ...feedOptions, perBatch: 1 })
    const single = processor.kind === 'item' ? itemized(limit(processor.invoke)) : limit(processor.invoke)
    const invoke = transaction === undefined ? single : inTransaction(single, transaction, checkpointer, cursorAt)
    run = makeRun({ feed, invoke: repeat(invoke), perBatch: 1, isChunked: true })
  }
  return {
    run,
    checkpointer,
    returnsLists: processor.kind === 'chunk' || transaction !== undefined,
    total: settings.total ?? sizeOf(items),
    // What closing throws is heard only when nothing else was thrown.
    close: () => source.close().catch((error) => run.halt('thrown', error)),
  }
}

/** The source from the checkpoint on: by its cursor where it can seek, else read again and dropped. */
async function openSource<Item>(
  items: Items<Item>,
  saved: Checkpoint | undefined,
  signal: AbortSignal | undefined,
): Promise<Source<Item>> {
  if (saved === undefined) return new Source(items)
  const { processed, cursor } = saved
  if (cursor !== undefined && isResumable(items)) return new Source(items.resumeFrom(cursor), processed)
  const source = new Source(items)
  const interrupt = () => source.interrupt()
  signal?.addEventListener('abort', interrupt)
  await source.skip(processed)
  signal?.removeEventListener('abort', interrupt)
  if (!signal?.aborted) return source
  await source.close()
  throw signal.reason
}

function sizeOf(items: unknown): number | undefined {
  if (Array.isArray(items)) return items.length
  return items instanceof Set || items instanceof Map ? items.size : undefined
}
