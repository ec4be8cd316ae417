import { expectOneOf, expectWholeNumber } from '../shared/arguments.ts'
import {
  cursorPaginateOptions,
  expectCall,
  expectFromClient,
  expectTotal,
  maxPerPageOf,
  type PaginatorSettings,
} from './call-options.ts'
import { findTotal, totalFields } from './count.ts'
import { PageInvalidError } from './errors.ts'
import { stripHiddenColumns } from './seek/hidden-columns.ts'
import type { Row, SelectQuery } from './seek/query-runner.ts'
import { type SeekOptions, SeekQuery, type SeekResult } from './seek/seek-query.ts'
import type { JumpTarget } from './types.ts'

export interface CursorRequest extends SeekOptions {
  readonly after?: unknown
  readonly before?: unknown
  readonly from?: unknown
  readonly page?: unknown
  readonly perPage?: unknown
  readonly maxPerPage?: unknown
  readonly total?: unknown
  readonly jump?: unknown
}

/** Reads one page by position. The page's statement also shows whether there are rows before and after it. */
export async function cursorPaginateQuery(
  query: SelectQuery,
  request: CursorRequest,
  settings: PaginatorSettings,
): Promise<{ items: Row[]; pagination: object }> {
  expectCall(query, request, cursorPaginateOptions)
  const { from = 'start', perPage: size = settings.perPage.default, total: wanted = 'none', jump } = request
  const after = request.after ?? undefined
  const before = request.before ?? undefined
  const cursor = after ?? before
  refuseContradictions(after, before, request.page)
  const perPage = expectFromClient(size, 'perPage', maxPerPageOf(request.maxPerPage, settings))
  const total = expectTotal(wanted)
  const isFromEnd = cursor === undefined && expectOneOf(from, 'from', ['start', 'end']) === 'end'
  const jumpCount = jump === undefined ? 0 : expectWholeNumber(jump, 'jump', { min: 1, max: 100 })

  const ordered = new SeekQuery(query, request, settings)
  const isBackward = isFromEnd || before !== undefined
  const result = await ordered.seek({ cursor, isBackward, limit: perPage })
  const { rows, hasNext, hasPrev } = result
  const { next, prev } =
    rows.length > 0 ? cursorsOf(ordered, result, isBackward) : { next: before ?? null, prev: after ?? null }
  const fields: object = { perPage, hasNext, hasPrev, next, prev }
  if (total !== 'none') {
    const proven = cursor === undefined && !hasNext && !hasPrev ? rows.length : undefined
    Object.assign(fields, totalFields(await findTotal(ordered.runner, total, proven, request.signal), total, perPage))
  }
  if (jumpCount > 0) Object.assign(fields, { jump: await jumpTargets(ordered, result, perPage, jumpCount) })
  return { items: stripHiddenColumns(rows), pagination: settings.withCasing(fields) }
}

function refuseContradictions(after: unknown, before: unknown, page: unknown): void {
  if (after === undefined && before === undefined) return
  if (after !== undefined && before !== undefined) throw new PageInvalidError('Expected `after` or `before`, got both')
  if (typeof page === 'number' && page > 1) throw new PageInvalidError('Expected `page` or a cursor, got both')
}

function cursorsOf(
  ordered: SeekQuery,
  { rows, hasNext, hasPrev, page, asked }: SeekResult,
  isBackward: boolean,
): { next: string | null; prev: string | null } {
  const pageBefore = page !== undefined && page > 1 ? page - 1 : undefined
  return {
    next: hasNext ? ordered.cursorAt(rows.at(-1) as Row, page && page + 1, isBackward ? undefined : asked) : null,
    prev: hasPrev ? ordered.cursorAt(rows[0] as Row, pageBefore, isBackward ? asked : undefined) : null,
  }
}

/** Finds the last row of each page that follows: every `perPage`-th of the rows that follow. */
async function jumpTargets(
  ordered: SeekQuery,
  { rows, hasNext, page }: SeekResult,
  perPage: number,
  count: number,
): Promise<JumpTarget[]> {
  const last = rows.at(-1)
  if (!hasNext || page === undefined || last === undefined) return []
  const following =
    count > 1
      ? (await ordered.seek({ cursor: ordered.cursorAt(last), limit: (count - 1) * perPage + 1, keysOnly: true })).rows
      : []
  const ends = [last, ...following.filter((_row, at) => (at + 1) % perPage === 0 && at + 1 < following.length)]
  return ends.slice(0, count).map((row, at) => ({ page: page + at + 1, after: ordered.cursorAt(row, page + at + 1) }))
}
