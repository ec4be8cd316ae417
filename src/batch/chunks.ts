import { describeValue } from '../shared/assertions.ts'
import { expectIterable, isPlainArray } from './source.ts'

/**
 * Cuts items into arrays of `size`, the last one possibly shorter, while they are read.
 *
 * Behaves as TC39's `Iterator.prototype.chunks`: nothing is read ahead, and the source is closed when the result is, even
 * before the first chunk. Arrays are sliced.
 *
 * @param items - any iterable; for asynchronous ones there is {@link asyncChunks}
 * @param size - items a chunk
 * @throws RangeError when `size` is no whole number from 1 to 2^32 - 1
 * @see https://github.com/tc39/proposal-iterator-chunking
 *
 * @example
 * ```ts
 * for (const ids of chunks(allIds, 500)) await db.deleteFrom('sessions').where('id', 'in', ids).execute()
 * ```
 */
export function chunks<Item>(items: Iterable<Item>, size = 100): IterableIterator<Item[]> {
  expectIterable(items)
  const iterator = items[Symbol.iterator]()
  expectChunkSize(size, () => iterator.return?.())
  return isPlainArray(items) ? new ArrayChunks<Item>(items, size) : new IteratorChunks(iterator, size)
}

/** Closes the source before it throws, as the proposal asks. */
export function expectChunkSize(size: unknown, close: () => unknown): void {
  if (Number.isInteger(size) && (size as number) >= 1 && (size as number) <= 2 ** 32 - 1) return
  try {
    close()
  } catch {
    // The wrong size is the error to hear about.
  }
  throw new RangeError(`Expected \`size\` to be a whole number from 1 to 4294967295, got ${describeValue(size)}`)
}

class ArrayChunks<Item> extends Iterator<Item[], undefined> {
  #position = 0
  readonly #items: readonly Item[]
  readonly #size: number

  constructor(items: readonly Item[], size: number) {
    super()
    this.#items = items
    this.#size = size
  }

  override next(): IteratorResult<Item[], undefined> {
    const start = this.#position
    if (start >= this.#items.length) return this.return()
    const chunk = this.#items.slice(start, start + this.#size)
    // An array's own iterator has ended for good once it met the end, even if the array grows later.
    this.#position = chunk.length === this.#size ? start + this.#size : Number.POSITIVE_INFINITY
    return { done: false, value: chunk }
  }

  override return(): IteratorReturnResult<undefined> {
    this.#position = Number.POSITIVE_INFINITY
    return { done: true, value: undefined }
  }
}

class IteratorChunks<Item> extends Iterator<Item[], undefined> {
  #done = false
  readonly #iterator: globalThis.Iterator<Item>
  readonly #size: number

  constructor(iterator: globalThis.Iterator<Item>, size: number) {
    super()
    this.#iterator = iterator
    this.#size = size
  }

  override next(): IteratorResult<Item[], undefined> {
    const chunk: Item[] = []
    while (!this.#done) {
      const step = this.#step()
      if (step.done) break
      chunk.push(step.value)
      if (chunk.length === this.#size) return { done: false, value: chunk }
    }
    return chunk.length > 0 ? { done: false, value: chunk } : { done: true, value: undefined }
  }

  override return(): IteratorReturnResult<undefined> {
    if (!this.#done) {
      this.#done = true
      this.#iterator.return?.()
    }
    return { done: true, value: undefined }
  }

  /** A source that ended or threw is neither asked again nor closed. */
  #step(): IteratorResult<Item> {
    try {
      const step = this.#iterator.next()
      if (step.done) this.#done = true
      return step
    } catch (error) {
      this.#done = true
      throw error
    }
  }
}
