import { expectWholeNumber } from '../shared/assertions.ts'
import type { PaginatorContext } from './context.ts'
import { countSource } from './count.ts'
import { PageInvalidError } from './errors.ts'
import { visible } from './hidden.ts'
import { List, type ListOptions } from './list.ts'
import { expectFromClient } from './page-size.ts'
import type { Row, SelectQuery } from './source.ts'
import type { Connection, ConnectionArguments } from './types.ts'

export interface ConnectionRequest extends ListOptions {
  readonly maxPerPage?: unknown
}

/**
 * A connection by the Relay specification, except that both flags tell the truth in both directions.
 *
 * @see {@link https://relay.dev/graphql/connections.htm}
 */
export async function relayConnectionQuery(
  query: SelectQuery,
  args: ConnectionArguments,
  request: ConnectionRequest,
  context: PaginatorContext,
): Promise<Connection<Row>> {
  const max =
    request.maxPerPage === undefined
      ? context.perPage.max
      : expectWholeNumber(request.maxPerPage, 'maxPerPage', { min: 1 })
  const { backward, cursor, limit } = directionOf(args, { default: Math.min(context.perPage.default, max), max })

  const list = new List(query, request, context)
  const { rows, hasNext, hasPrev } = await list.seek({ cursor, backward, limit })
  const nodes = visible(rows)
  const edges = nodes.map((node, at) => ({ node, cursor: list.cursorAt(rows[at] as Row) }))
  let total: Promise<number> | undefined
  return {
    edges,
    nodes,
    pageInfo: {
      hasNextPage: hasNext,
      hasPreviousPage: hasPrev,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    totalCount() {
      total ??= countSource(list.source, request.signal)
      return total
    },
  }
}

function directionOf(
  args: ConnectionArguments,
  sizes: { default: number; max: number },
): { backward: boolean; cursor: unknown; limit: number } {
  const first = args.first ?? undefined
  const last = args.last ?? undefined
  const after = args.after ?? undefined
  const before = args.before ?? undefined
  const backward = last !== undefined || (first === undefined && before !== undefined)
  if (first !== undefined && last !== undefined) throw new PageInvalidError('Expected `first` or `last`, got both')
  if (after !== undefined && before !== undefined) throw new PageInvalidError('Expected `after` or `before`, got both')
  if (backward && after !== undefined) throw new PageInvalidError('Expected `before` with `last`, got `after`')
  if (!backward && before !== undefined) throw new PageInvalidError('Expected `after` with `first`, got `before`')
  const asked = backward ? last : first
  const limit = asked === undefined ? sizes.default : expectFromClient(asked, backward ? 'last' : 'first', sizes.max)
  return { backward, cursor: after ?? before, limit }
}
