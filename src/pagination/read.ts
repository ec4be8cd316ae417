import { expectWholeNumber } from '../shared/arguments.ts'
import { expectCall, type PaginatorSettings, readOptions } from './call-options.ts'
import { isSamePosition, type Position } from './cursor.ts'
import { CursorUnstableError } from './errors.ts'
import { keyTexts } from './key-text/key-texts.ts'
import { isRankOfFts5 } from './seek/data-errors.ts'
import { stripHiddenColumns } from './seek/hidden-columns.ts'
import type { Row, SelectQuery } from './seek/query-runner.ts'
import { type SeekOptions, SeekQuery } from './seek/seek-query.ts'
import { findShownKeys, type ShownKeys } from './seek/shown-keys.ts'
import type { ResolvedQuery } from './seek/sort-keys.ts'
import type { Chunk, ChunkReader, RowReader } from './types.ts'

export interface ReadRequest extends SeekOptions {
  readonly size?: unknown
  readonly after?: unknown
  readonly prefetch?: boolean | undefined
}

/** Reads a query to its end, chunk by chunk. */
export function readChunksQuery(
  query: SelectQuery,
  request: ReadRequest,
  settings: PaginatorSettings,
): ChunkReader<Row> {
  const { ordered, results } = openReading(query, request, settings)
  const chunks = async function* (): AsyncGenerator<Chunk<Row>, undefined> {
    for await (const { rows, end } of results) yield { rows, cursor: ordered.cursorOf(end) }
  }
  return Object.assign(chunks(), {
    resumeFrom: (after: string) => readChunksQuery(query, { ...request, after }, settings),
  })
}

/** Reads a query to its end, row by row. The reader makes the cursor of a row only when the user asks for it. */
export function readRowsQuery(query: SelectQuery, request: ReadRequest, settings: PaginatorSettings): RowReader<Row> {
  const { ordered, results } = openReading(query, request, settings)
  let position: (() => Position) | undefined
  const rows = async function* (): AsyncGenerator<Row, undefined> {
    for await (const { rows, positionAt } of results) {
      for (let at = 0; at < rows.length; at++) {
        request.signal?.throwIfAborted()
        position = positionAt(at)
        yield rows[at] as Row
      }
    }
  }
  return Object.defineProperty(
    Object.assign(rows(), {
      cursor: null,
      resumeFrom: (after: string) => readRowsQuery(query, { ...request, after }, settings),
    }),
    'cursor',
    { get: () => (position === undefined ? null : ordered.cursorOf(position())) },
  )
}

/** Rows as the user gets them. */
interface ReadChunk {
  readonly rows: Row[]
  readonly hasNext: boolean
  /** The position that the chunk was asked with. */
  readonly asked: Position | undefined
  /** Remembers the keys of a row before the user can change the row. The returned function computes its position. */
  positionAt(index: number): () => Position
}

interface EndedChunk extends ReadChunk {
  /** The position of the last row. */
  readonly end: Position
}

function openReading(
  query: SelectQuery,
  request: ReadRequest,
  settings: PaginatorSettings,
): { ordered: SeekQuery; results: AsyncGenerator<EndedChunk, undefined> } {
  expectCall(query, request, readOptions)
  const { size = 1_000, after, prefetch = false, signal } = request
  const limit = expectWholeNumber(size, 'size', { min: 1 })
  const ordered = new SeekQuery(query, request, settings)
  return { ordered, results: readToEnd(chunksOf(ordered, limit, signal), after ?? undefined, prefetch, signal) }
}

/** Reads one chunk after another. Between two statements it holds no connection, transaction or snapshot. */
async function* readToEnd(
  chunks: Chunks,
  after: unknown,
  prefetch: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<EndedChunk, undefined> {
  const refuseCycle = cycleDetector()
  let next: Promise<ReadChunk> | undefined = chunks.read(after)
  try {
    while (next !== undefined) {
      const result: ReadChunk = await next
      const end = result.rows.length === 0 ? undefined : result.positionAt(result.rows.length - 1)()
      const readNext = () => {
        refuseCycle(end as Position, result.asked)
        return chunks.readOn(end as Position)
      }
      next = result.hasNext && prefetch ? readNext() : undefined
      // A prefetched statement may fail before anyone awaits it: that must not count as an unhandled rejection.
      next?.catch(() => {})
      signal?.throwIfAborted()
      if (end !== undefined) yield { ...result, end }
      if (result.hasNext) next ??= readNext()
    }
  } finally {
    // When the user stops early, wait until the prefetched statement has ended.
    await next?.catch(() => {})
  }
}

interface Chunks {
  /** Reads the rows after a cursor, or the first rows. */
  read(cursor: unknown): Promise<ReadChunk>
  /** Reads the rows that follow a row read before. */
  readOn(position: Position): Promise<ReadChunk>
}

function chunksOf(ordered: SeekQuery, limit: number, signal: AbortSignal | undefined): Chunks {
  /** `undefined` until the first chunk was read. */
  let shownKeys: ShownKeys | 'none' | undefined
  /** Where the last chunk began that was read without hidden columns. */
  let shownFrom: Position | undefined

  async function read(cursor: unknown): Promise<ReadChunk> {
    const { rows, hasNext, asked } = await ordered.seek({ cursor, limit, needsBothFlags: false })
    const resolved = ordered.resolved as ResolvedQuery
    const { dialect } = ordered.runner
    shownKeys ??= findShownKeys(resolved, rows, dialect) ?? 'none'
    const { positionOf } = keyTexts[dialect]
    const positionAt = (index: number) => () => positionOf(rows[index] as Row, resolved.keys)
    return { rows: stripHiddenColumns(rows), hasNext, asked, positionAt }
  }

  /** Reads rows without hidden columns. Returns `undefined` if only hidden columns can show that no row is lost. */
  async function readShown(shown: ShownKeys, asked: Position): Promise<ReadChunk | undefined> {
    const statement = shown.statementFrom(asked, limit + 2)
    // No rows: then `readOn` calls `read`, which knows how to avoid this error.
    const refuse = (error: unknown) => (isRankOfFts5(error) ? [] : Promise.reject(error))
    const rows = await ordered.runner.rows(() => statement, signal).catch(refuse)
    if (!shown.areBeyondDoubt(rows, asked)) return undefined
    shownFrom = asked
    const following = rows.slice(1, limit + 1)
    const positionAt = (index: number) => {
      const values = shown.valuesOf(following[index])
      return () => shown.positionOf(values, asked)
    }
    return { rows: following, hasNext: rows.length > limit + 1, asked, positionAt }
  }

  /**
   * The cursor of the last row of the chunk before, by its hidden columns: a plugin may have changed the keys that the row
   * shows, as by trimming texts.
   *
   * @param position - as the row shows it
   */
  async function exactCursor(shown: ShownKeys, position: Position): Promise<string> {
    if (shownFrom === undefined) return ordered.cursorOf(position)
    const cursor = ordered.cursorOf(shownFrom)
    const { rows } = await ordered.seek({ cursor, limit, needsBothFlags: false })
    const last = rows.find((row) => isSamePosition(shown.positionOf(shown.valuesOf(row), position), position))
    return last === undefined ? ordered.cursorOf(position) : ordered.cursorAt(last)
  }

  return {
    read,
    async readOn(position) {
      if (typeof shownKeys !== 'object') return read(ordered.cursorOf(position))
      const shown = shownKeys
      const chunk = await readShown(shown, position)
      if (chunk !== undefined) return chunk
      shownKeys = 'none'
      return read(await exactCursor(shown, position))
    },
  }
}

/**
 * Refuses a position that was met before; it keeps one position in memory. Without this, a walk over keys that do not
 * keep their order would never end.
 *
 * @see {@link https://doi.org/10.1007/BF01933190} Brent, An improved Monte Carlo factorization algorithm
 */
function cycleDetector(): (position: Position, asked: Position | undefined) => void {
  let kept: Position | undefined
  let [steps, limit] = [0, 1]
  return (position, asked) => {
    if (
      (kept !== undefined && isSamePosition(position, kept)) ||
      (asked !== undefined && isSamePosition(position, asked))
    ) {
      throw new CursorUnstableError(
        'The rows come round to a cursor that was read before: page by keys that do not change',
      )
    }
    if (++steps < limit) return
    kept = position
    steps = 0
    limit *= 2
  }
}
