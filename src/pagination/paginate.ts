import { expectWholeNumber } from '../shared/assertions.ts'
import { cased } from './casing.ts'
import type { PaginatorContext } from './context.ts'
import { PageInvalidError, PageTooDeepError } from './errors.ts'
import { List, type ListOptions } from './list.ts'
import { expectFromClient } from './page-size.ts'
import type { Row, SelectQuery } from './source.ts'
import { expectTotal, findTotal, totalFields } from './totals.ts'

export interface OffsetRequest extends ListOptions {
  readonly page?: unknown
  readonly perPage?: unknown
  readonly total?: unknown
  readonly maxOffset?: unknown
  readonly after?: unknown
  readonly before?: unknown
}

/** One page by its number: a statement for the rows, and one for the total unless the page shows it. */
export async function paginateQuery(
  query: SelectQuery,
  request: OffsetRequest,
  context: PaginatorContext,
): Promise<{ items: Row[]; pagination: object }> {
  const { page: asked = 1, perPage: size = context.perPage.default, maxOffset, total: wanted = 'exact' } = request
  if ((request.after ?? request.before ?? null) !== null) {
    throw new PageInvalidError('A numbered page takes no cursor: expected neither `after` nor `before`')
  }
  const page = expectFromClient(asked, 'page')
  const perPage = expectFromClient(size, 'perPage', context.perPage.max)
  const offset = (page - 1) * perPage
  const deepest = maxOffset === undefined ? Number.MAX_SAFE_INTEGER : expectWholeNumber(maxOffset, 'maxOffset')
  if (offset > deepest) {
    throw new PageTooDeepError(`Expected \`page\` to skip at most ${deepest} rows, got page ${page} of ${perPage} rows`)
  }
  const total = expectTotal(wanted)

  const list = new List(query, request, context)
  const rows = await list.byOffset(perPage + 1, offset)
  const hasNext = rows.length > perPage
  const items = hasNext ? rows.slice(0, perPage) : rows
  if (total === 'none')
    return { items, pagination: cased({ page, perPage, hasNext, hasPrev: page > 1 }, context.casing) }

  const endsList = !hasNext && (items.length > 0 || page === 1)
  const found = await findTotal(list.source, total, endsList ? offset + items.length : undefined, request.signal)
  const hasPrev = page > 1 && found.total > 0
  const fields = { page, perPage, ...totalFields(found, total, perPage), hasNext, hasPrev }
  return { items, pagination: cased(fields, context.casing) }
}
