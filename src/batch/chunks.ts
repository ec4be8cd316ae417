import { describeValue } from '../shared/arguments.ts'
import { expectIterable, expectStep, isPlainArray } from './source.ts'

/**
 * Groups items into arrays of `size` while they are read. The last array may be shorter.
 *
 * Behaves like TC39's `Iterator.prototype.chunks`: no item is read before it is needed, and closing the result closes the
 * source, even before the first chunk. An array is sliced, not iterated.
 *
 * @param items - an iterable; for an async iterable use `asyncChunks`
 * @param size - the number of items in a chunk
 * @throws RangeError if `size` is not a whole number from 1 to 2^32 - 1
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

/** Closes the source before it throws, as the TC39 proposal requires. */
export function expectChunkSize(size: unknown, close: () => unknown): void {
  if (Number.isInteger(size) && (size as number) >= 1 && (size as number) <= 2 ** 32 - 1) return
  try {
    close()
  } catch {
    // The caller needs to see the error of `size`.
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
    // An array's own iterator stays at its end even if the array grows later, and so does this one.
    this.#position = chunk.length === this.#size ? start + this.#size : Number.POSITIVE_INFINITY
    return { done: false, value: chunk }
  }

  override return(): IteratorReturnResult<undefined> {
    this.#position = Number.POSITIVE_INFINITY
    return { done: true, value: undefined }
  }
}

class IteratorChunks<Item> extends Iterator<Item[], undefined> {
  #isDone = false
  readonly #iterator: globalThis.Iterator<Item>
  readonly #size: number

  constructor(iterator: globalThis.Iterator<Item>, size: number) {
    super()
    this.#iterator = iterator
    this.#size = size
  }

  override next(): IteratorResult<Item[], undefined> {
    const chunk: Item[] = []
    while (!this.#isDone) {
      const step = this.#step()
      if (step.done) break
      chunk.push(step.value)
      if (chunk.length === this.#size) return { done: false, value: chunk }
    }
    return chunk.length > 0 ? { done: false, value: chunk } : { done: true, value: undefined }
  }

  override return(): IteratorReturnResult<undefined> {
    if (!this.#isDone) {
      this.#isDone = true
      this.#iterator.return?.()
    }
    return { done: true, value: undefined }
  }

  /** After the end or an error, the source is neither read again nor closed. */
  #step(): IteratorResult<Item> {
    try {
      const step = expectStep(this.#iterator.next())
      if (step.done) this.#isDone = true
      return step
    } catch (error) {
      this.#isDone = true
      throw error
    }
  }
}
