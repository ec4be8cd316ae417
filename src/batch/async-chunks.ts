import { setTimeout as sleep } from 'node:timers/promises'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { expectChunkSize } from './chunks.ts'
import { type Items, Source } from './source.ts'

/** Options of {@link asyncChunks}. */
export interface AsyncChunksOptions {
  /** Hands out a chunk that is not full once its first item has waited this long. @defaultValue no limit */
  readonly maxWait?: Duration | undefined
  /** Ends the reading: the next read rejects with the signal's reason, and the source is closed. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Cuts items into arrays of `size` while they arrive, or less when `maxWait` has passed.
 *
 * Nothing is read ahead of a full chunk; with `maxWait` one read of the source may stay under way between two chunks. The
 * source is closed when the result is.
 *
 * @param items - an async iterable, or an iterable
 * @param size - items a chunk, at most
 * @throws RangeError when `size` is no whole number from 1 to 2^32 - 1, TypeError for a `maxWait` that is no duration
 *
 * @example
 * ```ts
 * for await (const events of asyncChunks(stream, 500, { maxWait: '1s' })) await warehouse.insert(events)
 * ```
 */
export function asyncChunks<Item>(
  items: Items<Item>,
  size = 100,
  { maxWait, signal }: AsyncChunksOptions = {},
): AsyncIterableIterator<Item[]> {
  const source = new Source(items)
  expectChunkSize(size, () => source.close().catch(() => {}))
  const maxWaitMs = maxWait === undefined ? undefined : parseDuration(maxWait, 'maxWait')
  const chunks = source.isAsync ? readAsync(source, size, maxWaitMs, signal) : readSync(source, size, signal)
  return closing(chunks, source)
}

/** Closes the source also when the result is closed before its first chunk, where a generator does not run its `finally`. */
function closing<Item>(chunks: AsyncGenerator<Item[]>, source: Source<Item>): AsyncIterableIterator<Item[]> {
  let started = false
  return {
    next() {
      started = true
      return chunks.next()
    },
    async return() {
      if (!started) await source.close()
      return chunks.return(undefined)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

async function* readSync<Item>(source: Source<Item>, size: number, signal: AbortSignal | undefined) {
  try {
    for (;;) {
      signal?.throwIfAborted()
      const chunk: Item[] = []
      let step: IteratorResult<Item> | undefined
      while (chunk.length < size) {
        step = source.next()
        if (step.done) break
        chunk.push(step.value)
      }
      if (chunk.length > 0) yield chunk
      if (step?.done) return
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
      let late: ReturnType<typeof timer> | undefined
      try {
        while (chunk.length < size) {
          signal?.throwIfAborted()
          reading ??= source.nextAsync()
          const step = late === undefined ? await reading : await Promise.race([reading, late.passed])
          if (step === undefined) break
          reading = undefined
          done = step.done === true
          if (step.done) break
          chunk.push(step.value)
          if (maxWaitMs !== undefined) late ??= timer(maxWaitMs)
        }
      } finally {
        late?.clear()
      }
      signal?.throwIfAborted()
      if (chunk.length > 0) yield chunk
    }
  } finally {
    signal?.removeEventListener('abort', interrupt)
    await source.close()
  }
}

function timer(ms: number): { readonly passed: Promise<undefined>; clear(): void } {
  const controller = new AbortController()
  const passed = sleep(ms, undefined, { signal: controller.signal }).catch(() => undefined)
  return { passed, clear: () => controller.abort() }
}
