import type { Position } from './key-text/key-text.ts'
import { keyTexts } from './key-text/key-texts.ts'
import { isRankOfFts5 } from './seek/data-errors.ts'
import { stripHiddenColumns } from './seek/hidden-columns.ts'
import type { Row } from './seek/query-runner.ts'
import type { SeekQuery } from './seek/seek-query.ts'
import { ShownKeys } from './seek/shown-keys.ts'
import type { ResolvedQuery } from './seek/sort-keys.ts'

/** Rows as the user gets them. */
export interface ReadChunk {
  readonly rows: Row[]
  readonly hasNext: boolean
  /** The position that the chunk was asked with. */
  readonly asked: Position | undefined
  /** Remembers the keys of a row before the user can change the row. The returned function computes its position. */
  positionAt(index: number): () => Position
}

/** A query in an order, read in chunks. */
export class ChunkQuery {
  readonly #seeks: SeekQuery
  readonly #limit: number
  readonly #signal: AbortSignal | undefined
  /** `undefined` until the first chunk was read. */
  #shownKeys: ShownKeys | 'none' | undefined

  constructor(seeks: SeekQuery, limit: number, signal: AbortSignal | undefined) {
    this.#seeks = seeks
    this.#limit = limit
    this.#signal = signal
  }

  /** Reads the rows that follow a row read before. */
  async readOn(position: Position): Promise<ReadChunk> {
    if (typeof this.#shownKeys === 'object') {
      const chunk = await this.#readShown(this.#shownKeys, position)
      if (chunk !== undefined) return chunk
      this.#shownKeys = 'none'
    }
    return this.read(this.#seeks.cursorOf(position))
  }

  /** Reads the rows after a cursor, or the first rows. */
  async read(cursor: unknown): Promise<ReadChunk> {
    const seeks = this.#seeks
    const { rows, hasNext, asked } = await seeks.seek({ cursor, limit: this.#limit, needsBothFlags: false })
    const resolved = seeks.resolved as ResolvedQuery
    this.#shownKeys ??= ShownKeys.find(resolved, rows, seeks.runner.dialect) ?? 'none'
    const { positionOf } = keyTexts[seeks.runner.dialect]
    const positionAt = (index: number) => () => positionOf(rows[index] as Row, resolved.keys)
    return { rows: stripHiddenColumns(rows), hasNext, asked, positionAt }
  }

  /** Reads rows without hidden columns. Returns `undefined` if only hidden columns can show that no row is lost. */
  async #readShown(shownKeys: ShownKeys, asked: Position): Promise<ReadChunk | undefined> {
    const limit = this.#limit
    const statement = shownKeys.statementFrom(asked, limit + 2)
    // No rows: then `readOn` calls `read`, which knows how to avoid this error.
    const refuse = (error: unknown) => (isRankOfFts5(error) ? [] : Promise.reject(error))
    const read = await this.#seeks.runner.rows(() => statement, this.#signal).catch(refuse)
    if (!shownKeys.areBeyondDoubt(read, asked)) return undefined
    const rows = read.slice(1, limit + 1)
    const positionAt = (index: number) => {
      const values = shownKeys.valuesOf(rows[index])
      return () => shownKeys.positionOf(values, asked)
    }
    return { rows, hasNext: read.length > limit + 1, asked, positionAt }
  }
}
