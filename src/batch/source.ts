import { describeValue } from '../shared/arguments.ts'
import { withDeadline } from '../shared/time/waiting.ts'

/** Returned instead of an item when the source has no more. */
export const endOfInput: unique symbol = Symbol('end of input')

/** The input of a run: an array, an iterable or an async iterable. */
export type Items<Item> = Iterable<Item> | AsyncIterable<Item>

/** A source that can start after any item, such as `readRows` and `readChunks` return. */
export interface ResumableSource<Item> extends AsyncIterable<Item> {
  /** Returns the items that come after the cursor. */
  resumeFrom(cursor: string): AsyncIterable<Item>
  /** The cursor of the item that was read last. A source without this property has a `cursor` in each item instead. */
  readonly cursor?: string | null | undefined
}

/** Reads the items of an input. A read that hangs can be interrupted. Reads must not overlap. */
export class Source<Item> {
  readonly isAsync: boolean
  /** Whether {@link cursorAt} also knows the positions within the latest chunk: parts of it may be finished alone. */
  keepsCursors = false
  readonly #cursors = new Map<number, string | undefined>()
  readonly #items: Items<Item>
  readonly #original: Items<Item>
  readonly #iterator: Iterator<Item> | AsyncIterator<Item>
  #position: number
  readonly #array: readonly Item[] | undefined
  #last: Item | undefined
  #isDone = false
  #isClosed = false
  #interrupt: (() => void) | undefined
  #isInterrupted = false
  #hasRead = false

  /**
   * @param position - how many items of the input come before this source
   * @param original - the whole input, of which `items` is the rest; it is closed as well
   */
  constructor(items: Items<Item>, position = 0, original: Items<Item> = items) {
    this.#items = items
    this.#original = original
    this.#position = position
    this.isAsync = Symbol.asyncIterator in Object(items)
    if (!this.isAsync) expectIterable(items)
    this.#array = isPlainArray(items) ? items : undefined
    this.#iterator = this.isAsync ? iterate(items as AsyncIterable<Item>) : (items as Iterable<Item>)[Symbol.iterator]()
  }

  /** How many items of the input were read. */
  get position(): number {
    return this.#position
  }

  /** The next item of a synchronous source, or {@link endOfInput}. */
  take(): Item | typeof endOfInput {
    if (this.#array !== undefined) {
      return this.#position < this.#array.length ? (this.#array[this.#position++] as Item) : endOfInput
    }
    // As a loop: some iterators begin again when they are read after their end.
    if (this.#isDone) return endOfInput
    try {
      const step = expectStep((this.#iterator as Iterator<Item>).next())
      if (!step.done) return step.value
      this.#isDone = true
      return endOfInput
    } catch (error) {
      this.#isDone = true
      throw error
    }
  }

  /** Up to `size` items of a synchronous source, or {@link endOfInput}. */
  takeChunk(size: number): Item[] | typeof endOfInput {
    let chunk: Item[] = []
    if (this.#array !== undefined) {
      chunk = this.#array.slice(this.#position, this.#position + size)
      this.#position += chunk.length
    } else {
      for (let item = this.take(); item !== endOfInput; item = this.take()) {
        if (chunk.push(item) === size) break
      }
    }
    return chunk.length > 0 ? chunk : endOfInput
  }

  async takeAsync(): Promise<Item | typeof endOfInput> {
    const step = await this.nextAsync()
    return step.done ? endOfInput : step.value
  }

  async takeChunkAsync(size: number): Promise<Item[] | typeof endOfInput> {
    const chunk: Item[] = []
    this.#cursors.clear()
    for (let step: IteratorResult<Item>; chunk.length < size; chunk.push(step.value)) {
      step = await this.nextAsync()
      if (step.done) break
    }
    return chunk.length > 0 ? chunk : endOfInput
  }

  /** The next iterator result of an asynchronous source. After an interruption, the result says that the input has ended. */
  nextAsync(): Promise<IteratorResult<Item>> {
    if (this.#isDone || this.#isInterrupted) return Promise.resolve({ done: true, value: undefined })
    this.#hasRead = true
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        this.#interrupt = undefined
        this.#isDone = true
        reject(error)
      }
      this.#interrupt = () => resolve({ done: true, value: undefined })
      // Each item gets its own promise, because `Promise.race` with a long-lived promise would keep all items in memory.
      Promise.resolve((this.#iterator as AsyncIterator<Item>).next()).then((step) => {
        this.#interrupt = undefined
        try {
          resolve(this.#accept(step))
        } catch (error) {
          fail(error)
        }
      }, fail)
    })
  }

  /** @throws TypeError for anything but an iterator result, and whatever its getters throw */
  #accept(step: IteratorResult<Item>): IteratorResult<Item> {
    if (expectStep(step).done) this.#isDone = true
    else {
      this.#last = step.value
      this.#position++
      if (this.keepsCursors) this.#cursors.set(this.#position, this.#cursor)
    }
    return step
  }

  /** Reads items and drops them. */
  async skip(count: number): Promise<void> {
    if (this.#array !== undefined) {
      this.#position = count
      return
    }
    for (let item: Item | typeof endOfInput | undefined; count > 0 && item !== endOfInput; count--) {
      item = this.isAsync ? await this.takeAsync() : this.take()
    }
  }

  /** The cursor at this position of the input, if the source has cursors and was read exactly up to here. */
  cursorAt(position: number): string | undefined {
    return position === this.#position ? this.#cursor : this.#cursors.get(position)
  }

  get #cursor(): string | undefined {
    // What `resumeFrom` returned may be any async iterable.
    if (!isResumable(this.#original)) return undefined
    const isInItems = !('cursor' in this.#items || 'cursor' in this.#original)
    const { cursor } = Object(isInItems ? this.#last : this.#items) as { cursor?: unknown }
    return typeof cursor === 'string' ? cursor : undefined
  }

  /** Ends the pending read, if there is one. The source is not read again, so that no read overlaps the pending one. */
  interrupt(): void {
    this.#isInterrupted = true
    this.#interrupt?.()
  }

  /**
   * Closes a source that was not read to its end.
   *
   * @param graceMs - how long to wait for a pending read: a generator closes only after that read
   * @param isAborted - if true, a pending read is not waited for, and closing is waited for up to `graceMs`
   */
  async close(graceMs = 0, isAborted = false): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    try {
      if (!this.#isDone) await this.#closeIterator(graceMs, isAborted)
    } finally {
      // The iterator of a stream that was not read is a generator that has not started, so closing it does not close the
      // stream.
      if (this.isAsync && !this.#hasRead && !isIterator(this.#items)) await closeDirectly(this.#items)
      if (this.#original !== this.#items) await closeDirectly(this.#original)
    }
  }

  async #closeIterator(graceMs: number, isAborted: boolean): Promise<void> {
    this.#isDone = true
    const isReading = this.#interrupt !== undefined
    const closed = Promise.resolve(this.#iterator.return?.())
    // The iterator of a stream waits for the pending read, and that for data which may never come.
    if (isReading && !isIterator(this.#items)) await closeDirectly(this.#items)
    const isWaitedFor = graceMs > 0 && !(isReading && isAborted)
    if (!isReading && !isAborted) await closed
    else if (isWaitedFor) await withDeadline(closed, graceMs, () => {})
    else closed.catch(() => {})
  }
}

/** Opens the source. `return()` of a web stream's own iterator would wait for a pending read, which may never end. */
function iterate<Item>(items: AsyncIterable<Item> & { getReader?: unknown }): AsyncIterator<Item> {
  if (typeof items.getReader !== 'function') return items[Symbol.asyncIterator]()
  const reader = (items as ReadableStream<Item>).getReader()
  return {
    async next() {
      const step = await reader.read()
      if (step.done) reader.releaseLock()
      return step as IteratorResult<Item>
    },
    async return() {
      await reader.cancel().finally(() => reader.releaseLock())
      return { done: true, value: undefined }
    },
  }
}

function isIterator(items: unknown): boolean {
  return typeof (items as { readonly next?: unknown }).next === 'function'
}

/**
 * Closes an iterator or a stream itself: one that was not iterated, or a stream of Node whose iterator waits for data. Other
 * iterables have not opened anything yet.
 */
export async function closeDirectly(items: unknown): Promise<void> {
  const source = Object(items) as Readonly<Record<'return' | 'destroy' | 'cancel' | 'locked', unknown>>
  if (typeof source.return === 'function') await source.return()
  else if (!(Symbol.asyncIterator in source)) return
  else if (typeof source.destroy === 'function') source.destroy()
  else if (typeof source.cancel === 'function' && source.locked !== true) await source.cancel()
}

/** Calls the function, and closes the source if it fails. */
export async function closingOnError<Value>(
  source: Items<unknown> | Source<unknown>,
  fn: () => Value | Promise<Value>,
): Promise<Value> {
  try {
    return await fn()
  } catch (error) {
    // The caller needs to see the first error.
    await (source instanceof Source ? source.close() : closeDirectly(source)).catch(() => {})
    throw error
  }
}

/** Calls the function, and closes the source if it throws. For callers that cannot wait. */
export function closingIfThrown<Value>(close: () => unknown, fn: () => Value): Value {
  try {
    return fn()
  } catch (error) {
    close()
    throw error
  }
}

/**
 * An iterator that closes its source even if no item was asked for: a generator that has not started does not run its
 * `finally`.
 */
export function closingUnstarted<Item>(
  generator: AsyncGenerator<Item>,
  close: (isStarted: boolean) => unknown,
): AsyncIterableIterator<Item> {
  let isStarted = false
  return {
    next() {
      isStarted = true
      return generator.next()
    },
    async return() {
      await close(isStarted)
      isStarted = true
      return generator.return(undefined)
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}

/** Whether the source can resume from a cursor. */
export function isResumable<Item>(items: Items<Item>): items is ResumableSource<Item> {
  return typeof (Object(items) as Partial<ResumableSource<Item>>).resumeFrom === 'function'
}

/** @throws TypeError for anything but an iterator result, as a loop would */
export function expectStep<Step>(step: Step): Step {
  if (typeof step === 'object' && step !== null) return step
  throw new TypeError(`Expected \`next()\` of \`items\` to return an iterator result, got ${describeValue(step)}`)
}

/** @throws TypeError when the value is neither an iterable nor an async iterable */
export function expectItems(items: unknown): void {
  if (!(Symbol.asyncIterator in Object(items))) expectIterable(items)
}

/** @throws TypeError when the value cannot be iterated */
export function expectIterable(items: unknown): void {
  if (Symbol.iterator in Object(items)) return
  throw new TypeError(`Expected \`items\` to be iterable, got ${describeValue(items)}`)
}

/**
 * Whether the value is an array with the standard iterator, so that slices contain the same items. A slice of a subclass is made
 * by its constructor, which may take other arguments than a length.
 */
export function isPlainArray(items: unknown): items is readonly never[] {
  if (!Array.isArray(items) || Object.getPrototypeOf(items) !== Array.prototype) return false
  return items[Symbol.iterator] === Array.prototype[Symbol.iterator]
}
