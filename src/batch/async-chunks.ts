import { expectOptions, type OptionKinds } from '../shared/arguments.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import { startTimer } from '../shared/time/timers.ts'
import { expectChunkSize } from './chunks.ts'
import { closingIfThrown, closingUnstarted, endOfInput, type Items, Source } from './source.ts'

export interface AsyncChunksOptions {
  /** The longest time that an item waits for its chunk to become full. @defaultValue no limit */
  readonly maxWait?: Duration | undefined
  /** Stops reading: the next call of `next()` rejects with the signal's reason, and the source is closed. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Groups items into arrays of `size` while they arrive. When `maxWait` has passed, a chunk may have fewer items.
 *
 * No item is read before it is needed. Only with `maxWait`, one read may be pending between two chunks. Closing the result
 * closes the source.
 *
 * @param items - an async iterable or an iterable
 * @param size - the number of items in a chunk
 * @throws RangeError if `size` is not a whole number from 1 to 2^32 - 1; TypeError if `maxWait` is not a duration
 *
 * @example
 * ```ts
 * for await (const events of asyncChunks(stream, 500, { maxWait: '1s' })) await warehouse.insert(events)
 * ```
 */
export function asyncChunks<Item>(
  items: Items<Item>,
  size = 100,
  options: AsyncChunksOptions = {},
): AsyncIterableIterator<Item[]> {
  const source = new Source(items)
  const close = () => source.close().catch(() => {})
  expectChunkSize(size, close)
  const { maxWaitMs, signal } = closingIfThrown(close, () => parseOptions(options))
  const chunks = source.isAsync ? readAsync(source, size, maxWaitMs, signal) : readSync(source, size, signal)
  return closingUnstarted(chunks, (isStarted) => (isStarted ? undefined : source.close()))
}

const asyncChunksOptions: OptionKinds<AsyncChunksOptions> = { maxWait: 'own', signal: 'signal' }

function parseOptions(options: AsyncChunksOptions) {
  expectOptions(options, asyncChunksOptions)
  const { maxWait, signal } = options
  return { maxWaitMs: maxWait === undefined ? undefined : parseDuration(maxWait, 'maxWait'), signal }
}

async function* readSync<Item>(source: Source<Item>, size: number, signal: AbortSignal | undefined) {
  try {
    for (;;) {
      signal?.throwIfAborted()
      const chunk = source.takeChunk(size)
      if (chunk !== endOfInput) yield chunk
      if (chunk === endOfInput || chunk.length < size) return
    }
  } finally {
    await source.close()
  }
}

async function* readAsync<Item>(
  source: Source<Item>,
  size: number,
  maxWaitMs: number | undefined,
  signal: AbortSignal | undefined,
) {
  const interrupt = () => source.interrupt()
  signal?.addEventListener('abort', interrupt)
  try {
    let reading: Promise<IteratorResult<Item>> | undefined
    for (let done = false; !done; ) {
      const chunk: Item[] = []
      let wait: ReturnType<typeof startWait> | undefined
      try {
        while (chunk.length < size) {
          signal?.throwIfAborted()
          reading ??= source.nextAsync()
          const step = wait === undefined ? await reading : await Promise.race([reading, wait.passed])
          if (step === undefined) break
          reading = undefined
          done = step.done === true
          if (step.done) break
          chunk.push(step.value)
          if (maxWaitMs !== undefined) wait ??= startWait(maxWaitMs)
        }
      } finally {
        wait?.cancel()
      }
      signal?.throwIfAborted()
      if (chunk.length > 0) yield chunk
    }
  } finally {
    signal?.removeEventListener('abort', interrupt)
    await source.close()
  }
}

function startWait(maxWaitMs: number): { readonly passed: Promise<undefined>; cancel(): void } {
  const { promise: passed, resolve } = Promise.withResolvers<undefined>()
  const timer = startTimer(() => resolve(undefined), maxWaitMs, { keepsAlive: true })
  return { passed, cancel: () => timer.cancel() }
}
