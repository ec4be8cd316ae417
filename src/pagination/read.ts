import { expectWholeNumber } from '../shared/assertions.ts'
import { expectCall, readOptions } from './call-options.ts'
import { CursorUnstableError } from './errors.ts'
import type { PaginatorSettings } from './page-request.ts'
import { stripHiddenColumns } from './seek/hidden-columns.ts'
import type { Row, SelectQuery } from './seek/query-runner.ts'
import { type SeekOptions, SeekQuery, type SeekResult } from './seek/seek-query.ts'
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
    for await (const { rows } of results)
      yield { rows: stripHiddenColumns(rows), cursor: ordered.cursorAt(rows.at(-1) as Row) }
  }
  return Object.assign(chunks(), {
    resumeFrom: (after: string) => readChunksQuery(query, { ...request, after }, settings),
  })
}

/** Reads a query to its end, row by row. The reader makes the cursor of a row only when the user asks for it. */
export function readRowsQuery(query: SelectQuery, request: ReadRequest, settings: PaginatorSettings): RowReader<Row> {
  const { ordered, results } = openReading(query, request, settings)
  let current: Row | undefined
  const rows = async function* (): AsyncGenerator<Row, undefined> {
    for await (const chunk of results) {
      for (const [at, row] of stripHiddenColumns(chunk.rows).entries()) {
        request.signal?.throwIfAborted()
        current = chunk.rows[at]
        yield row
      }
    }
  }
  return Object.defineProperty(
    Object.assign(rows(), {
      cursor: null,
      resumeFrom: (after: string) => readRowsQuery(query, { ...request, after }, settings),
    }),
    'cursor',
    { get: () => (current === undefined ? null : ordered.cursorAt(current)) },
  )
}

function openReading(
  query: SelectQuery,
  request: ReadRequest,
  settings: PaginatorSettings,
): { ordered: SeekQuery; results: AsyncGenerator<SeekResult, undefined> } {
  expectCall(query, request, readOptions)
  const { size = 1_000, after, prefetch = false, signal } = request
  const limit = expectWholeNumber(size, 'size', { min: 1 })
  const ordered = new SeekQuery(query, request, settings)
  return { ordered, results: seekToEnd(ordered, limit, after ?? undefined, prefetch, signal) }
}

/** Seeks one result after another. Between two statements it holds no connection, transaction or snapshot. */
async function* seekToEnd(
  ordered: SeekQuery,
  limit: number,
  after: unknown,
  prefetch: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<SeekResult, undefined> {
  const refuseCycle = cycleDetector()
  let next: Promise<SeekResult> | undefined = ordered.seek({ cursor: after, limit, needsBothFlags: false })
  try {
    while (next !== undefined) {
      const result: SeekResult = await next
      const last = result.rows.at(-1)
      const seekNext = () => {
        const cursor = ordered.cursorAt(last as Row, undefined, result.asked)
        refuseCycle(cursor)
        return ordered.seek({ cursor, limit, needsBothFlags: false })
      }
      next = result.hasNext && prefetch ? ignoreEarlyFailure(seekNext()) : undefined
      signal?.throwIfAborted()
      if (last !== undefined) yield result
      if (result.hasNext) next ??= seekNext()
    }
  } finally {
    // When the user stops early, wait until the prefetched statement has ended.
    await next?.catch(() => {})
  }
}

/**
 * Refuses a cursor that was met before, with the memory of one: a walk over keys that do not keep their order would never end.
 *
 * @see {@link https://doi.org/10.1007/BF01933190} Brent, An improved Monte Carlo factorization algorithm
 */
function cycleDetector(): (cursor: string) => void {
  let [kept, steps, limit] = ['', 0, 1]
  return (cursor) => {
    if (cursor === kept) {
      throw new CursorUnstableError(
        'The rows come round to a cursor that was read before: page by keys that do not change',
      )
    }
    if (++steps < limit) return
    kept = cursor
    steps = 0
    limit *= 2
  }
}

/** A prefetched statement may fail before anyone awaits it: that must not count as an unhandled rejection. */
function ignoreEarlyFailure<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {})
  return promise
}
