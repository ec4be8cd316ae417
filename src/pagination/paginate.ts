import { expectWholeNumber } from '../shared/arguments.ts'
import {
  expectCall,
  expectFromClient,
  expectTotal,
  maxPerPageOf,
  type PaginatorSettings,
  paginateOptions,
} from './call-options.ts'
import { findTotal, totalFields } from './count.ts'
import { PageInvalidError, PageTooDeepError } from './errors.ts'
import { stripHiddenColumns } from './seek/hidden-columns.ts'
import { offsetStatement } from './seek/order-by.ts'
import { OrderedQuery, type OrderedQueryOptions } from './seek/ordered-query.ts'
import type { Row, SelectQuery } from './seek/query-runner.ts'

export interface OffsetRequest extends OrderedQueryOptions {
  readonly page?: unknown
  readonly perPage?: unknown
  readonly maxPerPage?: unknown
  readonly total?: unknown
  readonly maxOffset?: unknown
  readonly after?: unknown
  readonly before?: unknown
}

/** Reads one page by its number. A second statement finds the total, unless the page shows it. */
export async function paginateQuery(
  query: SelectQuery,
  request: OffsetRequest,
  settings: PaginatorSettings,
): Promise<{ items: Row[]; pagination: object }> {
  expectCall(query, request, paginateOptions)
  const { perPage: size = settings.perPage.default, maxOffset, total: wanted = 'exact' } = request
  if ((request.after ?? request.before ?? null) !== null) {
    throw new PageInvalidError('A numbered page takes no cursor: expected neither `after` nor `before`')
  }
  const page = expectFromClient(request.page ?? 1, 'page')
  const perPage = expectFromClient(size, 'perPage', maxPerPageOf(request.maxPerPage, settings))
  const offset = (page - 1) * perPage
  const deepest = maxOffset === undefined ? Number.MAX_SAFE_INTEGER : expectWholeNumber(maxOffset, 'maxOffset')
  if (offset > deepest) {
    throw new PageTooDeepError(`Expected \`page\` to skip at most ${deepest} rows, got page ${page} of ${perPage} rows`)
  }
  const total = expectTotal(wanted)

  const ordered = new OrderedQuery(query, request, settings)
  const { runner } = ordered
  const rows = await runner.rows(
    (node) => offsetStatement(ordered.resolve(node), runner.dialect, perPage + 1, offset),
    request.signal,
  )
  const hasNext = rows.length > perPage
  const shown = hasNext ? rows.slice(0, perPage) : rows
  const items = ordered.resolved?.isGrouped ? stripHiddenColumns(shown) : shown
  if (total === 'none') {
    return { items, pagination: settings.withCasing({ page, perPage, hasNext, hasPrev: page > 1 }) }
  }

  const showsEnd = !hasNext && (items.length > 0 || page === 1)
  const found = await findTotal(runner, total, showsEnd ? offset + items.length : undefined, request.signal)
  const hasPrev = page > 1 && found.total > 0
  const fields = { page, perPage, ...totalFields(found, total, perPage), hasNext, hasPrev }
  return { items, pagination: settings.withCasing(fields) }
}
