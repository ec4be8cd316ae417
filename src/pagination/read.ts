import { expectWholeNumber } from '../shared/assertions.ts'
import type { PaginatorContext } from './context.ts'
import { visible } from './hidden.ts'
import { List, type ListOptions, type Sought } from './list.ts'
import type { Row, SelectQuery } from './source.ts'
import type { Chunk, ChunkReader, RowReader } from './types.ts'

export interface ReadRequest extends ListOptions {
  readonly size?: unknown
  readonly after?: unknown
  readonly prefetch?: boolean | undefined
}

/** Reads a query to its end, chunk by chunk. */
export function readChunksQuery(query: SelectQuery, request: ReadRequest, context: PaginatorContext): ChunkReader<Row> {
  const { list, sought } = openReading(query, request, context)
  const chunks = async function* (): AsyncGenerator<Chunk<Row>, undefined> {
    for await (const { rows } of sought) yield { rows: visible(rows), cursor: list.cursorAt(rows.at(-1) as Row) }
  }
  return Object.assign(chunks(), {
    resumeFrom: (after: string) => readChunksQuery(query, { ...request, after }, context),
  })
}

/** Reads a query to its end, row by row; the cursor of a row is made only when it is asked for. */
export function readRowsQuery(query: SelectQuery, request: ReadRequest, context: PaginatorContext): RowReader<Row> {
  const { list, sought } = openReading(query, request, context)
  let current: Row | undefined
  const rows = async function* (): AsyncGenerator<Row, undefined> {
    for await (const chunk of sought) {
      for (const [at, row] of visible(chunk.rows).entries()) {
        request.signal?.throwIfAborted()
        current = chunk.rows[at]
        yield row
      }
    }
  }
  return Object.defineProperty(
    Object.assign(rows(), {
      cursor: null,
      resumeFrom: (after: string) => readRowsQuery(query, { ...request, after }, context),
    }),
    'cursor',
    { get: () => (current === undefined ? null : list.cursorAt(current)) },
  )
}

function openReading(
  query: SelectQuery,
  request: ReadRequest,
  context: PaginatorContext,
): { list: List; sought: AsyncGenerator<Sought, undefined> } {
  const { size = 1_000, after, prefetch = false, signal } = request
  const limit = expectWholeNumber(size, 'size', { min: 1 })
  const list = new List(query, request, context)
  return { list, sought: readOn(list, limit, after ?? undefined, prefetch, signal) }
}

/** Between two statements nothing is held: no connection, no transaction, no snapshot. */
async function* readOn(
  list: List,
  limit: number,
  after: unknown,
  prefetch: boolean,
  signal: AbortSignal | undefined,
): AsyncGenerator<Sought, undefined> {
  let next: Promise<Sought> | undefined = list.seek({ cursor: after, limit, bothFlags: false })
  try {
    while (next !== undefined) {
      const sought: Sought = await next
      const last = sought.rows.at(-1)
      const ask = () => list.seek({ cursor: list.cursorAt(last as Row), limit, bothFlags: false })
      next = sought.hasNext && prefetch ? watched(ask()) : undefined
      signal?.throwIfAborted()
      if (last !== undefined) yield sought
      if (sought.hasNext) next ??= ask()
    }
  } finally {
    // A reader that leaves early must not leave a statement running behind it.
    await next?.catch(() => {})
  }
}

/** A statement that was asked for ahead may fail while nobody waits for it yet. */
function watched<Value>(promise: Promise<Value>): Promise<Value> {
  promise.catch(() => {})
  return promise
}
