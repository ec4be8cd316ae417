import type { Inputs } from './run.ts'
import { endOfInput, type Source } from './source.ts'

type Chunk<Item> = Item[] | typeof endOfInput

/** Reads a chunk of an async source while the chunk before it is processed. Never reads further ahead. */
export class ReadAhead<Item> implements Inputs<Item[]> {
  readonly isAsync = true
  readonly #source: Source<Item>
  readonly #size: number
  #next: Promise<Chunk<Item>> | undefined
  /** The cursors behind chunks that were read, and not asked for yet. */
  readonly #cursors = new Map<number, string>()

  constructor(source: Source<Item>, size: number) {
    this.#source = source
    this.#size = size
  }

  /** An async source has no other way to be read than {@link takeAsync}. */
  take(): Chunk<Item> {
    return endOfInput
  }

  takeAsync(): Promise<Chunk<Item>> {
    const chunk = this.#next ?? this.#read()
    this.#next = chunk.then((read) => (read === endOfInput ? read : this.#read()))
    // The caller that takes the chunk gets its error.
    this.#next.catch(() => {})
    return chunk
  }

  /** The cursor behind a chunk that was taken. */
  cursorAt(position: number): string | undefined {
    const cursor = this.#cursors.get(position)
    this.#cursors.delete(position)
    return cursor
  }

  async #read(): Promise<Chunk<Item>> {
    const chunk = await this.#source.takeChunkAsync(this.#size)
    const { position } = this.#source
    const cursor = this.#source.cursorAt(position)
    if (cursor !== undefined) this.#cursors.set(position, cursor)
    return chunk
  }
}
