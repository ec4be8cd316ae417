import { expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { cased } from './casing.ts'
import type { PaginatorContext } from './context.ts'
import { PageInvalidError } from './errors.ts'
import { visible } from './hidden.ts'
import { List, type ListOptions, type Sought } from './list.ts'
import { expectFromClient } from './page-size.ts'
import type { Row, SelectQuery } from './source.ts'
import { expectTotal, findTotal, totalFields } from './totals.ts'
import type { JumpTarget } from './types.ts'

export interface CursorRequest extends ListOptions {
  readonly after?: unknown
  readonly before?: unknown
  readonly from?: unknown
  readonly page?: unknown
  readonly perPage?: unknown
  readonly total?: unknown
  readonly jump?: unknown
}

/** One page by position, with both flags proven by its own statement. */
export async function cursorPaginateQuery(
  query: SelectQuery,
  request: CursorRequest,
  context: PaginatorContext,
): Promise<{ items: Row[]; pagination: object }> {
  const { from = 'start', perPage: size = context.perPage.default, total: wanted = 'none', jump } = request
  const after = request.after ?? undefined
  const before = request.before ?? undefined
  const cursor = after ?? before
  refuseContradictions(after, before, request.page)
  const perPage = expectFromClient(size, 'perPage', context.perPage.max)
  const total = expectTotal(wanted)
  const backward = cursor === undefined ? expectOneOf(from, 'from', ['start', 'end']) === 'end' : after === undefined
  const targets = jump === undefined ? 0 : expectWholeNumber(jump, 'jump', { min: 1, max: 100 })

  const list = new List(query, request, context)
  const sought = await list.seek({ cursor, backward, limit: perPage })
  const { rows, hasNext, hasPrev } = sought
  const links = rows.length > 0 ? linksOf(list, sought) : { next: before ?? null, prev: after ?? null }
  const fields: object = { perPage, hasNext, hasPrev, ...links }
  if (total !== 'none') {
    const proven = cursor === undefined && !hasNext && !hasPrev ? rows.length : undefined
    Object.assign(fields, totalFields(await findTotal(list.source, total, proven, request.signal), total, perPage))
  }
  if (targets > 0) Object.assign(fields, { jump: await jumpsOf(list, sought, perPage, targets) })
  return { items: visible(rows), pagination: cased(fields, context.casing) }
}

function refuseContradictions(after: unknown, before: unknown, page: unknown): void {
  if (after === undefined && before === undefined) return
  if (after !== undefined && before !== undefined) throw new PageInvalidError('Expected `after` or `before`, got both')
  if (typeof page === 'number' && page > 1) throw new PageInvalidError('Expected `page` or a cursor, got both')
}

function linksOf(list: List, { rows, hasNext, hasPrev, page }: Sought): { next: string | null; prev: string | null } {
  const before = page !== undefined && page > 1 ? page - 1 : undefined
  return {
    next: hasNext ? list.cursorAt(rows.at(-1) as Row, page && page + 1) : null,
    prev: hasPrev ? list.cursorAt(rows[0] as Row, before) : null,
  }
}

/** Every `perPage`-th row that follows stands at the end of a page. */
async function jumpsOf(list: List, sought: Sought, perPage: number, count: number): Promise<JumpTarget[]> {
  const { rows, hasNext, page } = sought
  const last = rows.at(-1)
  if (!hasNext || page === undefined || last === undefined) return []
  const following = count > 1 ? await list.keysAfter(last, (count - 1) * perPage + 1) : []
  const ends = [last, ...following.filter((_row, at) => (at + 1) % perPage === 0 && at + 1 < following.length)]
  return ends.slice(0, count).map((row, at) => ({ page: page + at + 1, after: list.cursorAt(row, page + at + 1) }))
}
