import { describeValue } from '../shared/assertions.ts'

/** What is read from a source when there is nothing more. */
export const end: unique symbol = Symbol('end')

/** What can be processed: an array, any iterable, any async iterable. */
export type Items<Item> = Iterable<Item> | AsyncIterable<Item>

/** A source that can begin anywhere, as `readRows` and `readChunks` return. */
export interface ResumableSource<Item> extends AsyncIterable<Item> {
  /** The same items, from the one behind the cursor. */
  resumeFrom(cursor: string): AsyncIterable<Item>
  /** The place of the item that was read last. Sources without this property hand it out as the items' own `cursor`. */
  readonly cursor?: string | null | undefined
}

/** An iterator, synchronous or not, that is read by one reader at a time and can be let go while it hangs. */
export class Source<Item> {
  readonly isAsync: boolean
  readonly #items: Items<Item>
  readonly #iterator: Iterator<Item> | AsyncIterator<Item>
  #position: number
  readonly #array: readonly Item[] | undefined
  #last: Item | undefined
  #done = false
  #interrupt: (() => void) | undefined

  /** @param position - how many items of the input lie before this source */
  constructor(items: Items<Item>, position = 0) {
    this.#items = items
    this.#position = position
    this.isAsync = Symbol.asyncIterator in Object(items)
    if (!this.isAsync) expectIterable(items)
    this.#array = isPlainArray(items) ? items : undefined
    this.#iterator = this.isAsync
      ? (items as AsyncIterable<Item>)[Symbol.asyncIterator]()
      : (items as Iterable<Item>)[Symbol.iterator]()
  }

  /** The next item of a synchronous source, or {@link end}. */
  take(): Item | typeof end {
    if (this.#array !== undefined) {
      return this.#position < this.#array.length ? (this.#array[this.#position++] as Item) : end
    }
    const step = this.next()
    return step.done ? end : step.value
  }

  /** Up to `size` items of a synchronous source, or {@link end}. */
  takeChunk(size: number): Item[] | typeof end {
    let chunk: Item[] = []
    if (this.#array !== undefined) {
      chunk = this.#array.slice(this.#position, this.#position + size)
      this.#position += chunk.length
    } else {
      for (let step: IteratorResult<Item>; chunk.length < size; chunk.push(step.value)) {
        step = this.next()
        if (step.done) break
      }
    }
    return chunk.length > 0 ? chunk : end
  }

  /** The next step of a synchronous source. */
  next(): IteratorResult<Item> {
    try {
      const step = (this.#iterator as Iterator<Item>).next()
      if (step.done) this.#done = true
      return step
    } catch (error) {
      this.#done = true
      throw error
    }
  }

  /** The next item of an asynchronous source; ends early when the source is interrupted. */
  nextAsync(): Promise<IteratorResult<Item>> {
    if (this.#done) return Promise.resolve({ done: true, value: undefined })
    return new Promise((resolve, reject) => {
      this.#interrupt = () => resolve({ done: true, value: undefined })
      // A chain of its own for every item: a race against one long-lived promise would keep them all in memory.
      Promise.resolve((this.#iterator as AsyncIterator<Item>).next()).then(
        (step) => {
          this.#interrupt = undefined
          if (step.done) this.#done = true
          else {
            this.#last = step.value
            this.#position++
          }
          resolve(step)
        },
        (error) => {
          this.#interrupt = undefined
          this.#done = true
          reject(error)
        },
      )
    })
  }

  /** Reads items and drops them. */
  async skip(count: number): Promise<void> {
    if (this.#array !== undefined) {
      this.#position = count
      return
    }
    for (let step: IteratorResult<Item> | undefined; count > 0 && !step?.done; count--) {
      step = this.isAsync ? await this.nextAsync() : this.next()
    }
  }

  /** The cursor that stands at this position of the input, if the source has cursors and was read up to there. */
  cursorAt(position: number): string | undefined {
    if (!isResumable(this.#items) || position !== this.#position) return undefined
    const { cursor } = 'cursor' in this.#items ? this.#items : ((this.#last ?? {}) as { cursor?: unknown })
    return typeof cursor === 'string' ? cursor : undefined
  }

  /** Ends the read that is under way, if there is one. */
  interrupt(): void {
    this.#interrupt?.()
  }

  /** Closes a source that was not read to its end. One that hangs in a read is told, but not waited for. */
  async close(): Promise<void> {
    if (this.#done) return
    this.#done = true
    const closed = this.#iterator.return?.()
    if (this.#interrupt === undefined) await closed
    else Promise.resolve(closed).catch(() => {})
  }
}

/** Whether the items can be read from a cursor on. */
export function isResumable<Item>(items: Items<Item>): items is ResumableSource<Item> {
  return typeof (items as Partial<ResumableSource<Item>>).resumeFrom === 'function'
}

/** @throws TypeError when the value cannot be iterated */
export function expectIterable(items: unknown): void {
  if (Symbol.iterator in Object(items)) return
  throw new TypeError(`Expected \`items\` to be iterable, got ${describeValue(items)}`)
}

/** Whether slices of the array are what its iterator would give. */
export function isPlainArray(items: unknown): items is readonly never[] {
  return Array.isArray(items) && items[Symbol.iterator] === Array.prototype[Symbol.iterator]
}
