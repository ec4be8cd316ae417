import { endOfInput, type Source } from './source.ts'

type Chunk<Item> = Item[] | typeof endOfInput

/** Reads a chunk of an async source while the chunk before it is processed. Never reads further ahead. */
export class ReadAhead<Item> {
  readonly #source: Source<Item>
  readonly #size: number
  #next: Promise<Chunk<Item>> | undefined
  /** The cursors after chunks that were read, until they are asked for. */
  readonly #cursors = new Map<number, string>()

  constructor(source: Source<Item>, size: number) {
    this.#source = source
    this.#size = size
  }

  take(): Promise<Chunk<Item>> {
    const chunk = this.#next ?? this.#read()
    this.#next = chunk.then((read) => (read === endOfInput ? read : this.#read()))
    // The caller that takes the chunk gets the error, so it must not count as an unhandled rejection.
    this.#next.catch(() => {})
    return chunk
  }

  /** The cursor after a chunk that was taken. */
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
