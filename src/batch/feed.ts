import { pause } from '../shared/retry.ts'
import { end, type Source } from './source.ts'

/** What the calls of a run are made with, one after another: items, or chunks of them. */
export interface Feed<Input> {
  /** Which of the two methods works. */
  readonly isAsync: boolean
  take(): Input | typeof end
  takeAsync(): Promise<Input | typeof end>
}

interface FeedOptions {
  /** Inputs of this feed that make up a batch. */
  readonly perBatch: number
  readonly delayMs: number
  /** Ends the feed. */
  readonly signal: AbortSignal
}

export function itemFeed<Item>(source: Source<Item>, options: FeedOptions): Feed<Item> {
  const takeAsync = async () => {
    const step = await source.nextAsync()
    return step.done ? end : step.value
  }
  return createFeed(source.isAsync, () => source.take(), takeAsync, options)
}

export function chunkFeed<Item>(source: Source<Item>, size: number, options: FeedOptions): Feed<Item[]> {
  const takeAsync = async () => {
    const chunk: Item[] = []
    for (let step: IteratorResult<Item>; chunk.length < size; chunk.push(step.value)) {
      step = await source.nextAsync()
      if (step.done) break
    }
    return chunk.length > 0 ? chunk : end
  }
  return createFeed(source.isAsync, () => source.takeChunk(size), takeAsync, options)
}

function createFeed<Input>(
  isAsync: boolean,
  take: () => Input | typeof end,
  takeAsync: () => Promise<Input | typeof end>,
  { perBatch, delayMs, signal }: FeedOptions,
): Feed<Input> {
  let taken = 0
  const read = isAsync ? takeAsync : take
  const step = async () => {
    if (delayMs > 0 && taken > 0 && taken % perBatch === 0) await pause(delayMs, signal).catch(() => {})
    if (signal.aborted) return end
    taken++
    return read()
  }
  // One read at a time, in the order of the asking: each waits for the one before.
  let last: Promise<Input | typeof end> | undefined
  return {
    isAsync: isAsync || delayMs > 0,
    take,
    takeAsync: () => (last = last === undefined ? step() : last.then(step)),
  }
}
