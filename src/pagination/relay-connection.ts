import { expectObject } from '../shared/arguments.ts'
import {
  expectCall,
  expectFromClient,
  maxPerPageOf,
  type PaginatorSettings,
  relayConnectionOptions,
} from './call-options.ts'
import { countQuery } from './count.ts'
import { PageInvalidError } from './errors.ts'
import { stripHiddenColumns } from './seek/hidden-columns.ts'
import type { Row, SelectQuery } from './seek/query-runner.ts'
import { type SeekOptions, SeekQuery, type SeekRequest } from './seek/seek-query.ts'
import type { Connection, ConnectionArguments } from './types.ts'

export interface ConnectionRequest extends SeekOptions {
  readonly maxPerPage?: unknown
}

/**
 * Reads a page as a connection of the Relay specification. Unlike there, both flags are exact in both directions.
 *
 * @see {@link https://relay.dev/graphql/connections.htm}
 */
export async function relayConnectionQuery(
  query: SelectQuery,
  args: ConnectionArguments,
  request: ConnectionRequest,
  settings: PaginatorSettings,
): Promise<Connection<Row>> {
  expectCall(query, request, relayConnectionOptions)
  expectObject(args, 'args')
  const max = maxPerPageOf(request.maxPerPage, settings)
  const seekRequest = toSeekRequest(args, { default: Math.min(settings.perPage.default, max), max })

  const ordered = new SeekQuery(query, request, settings)
  const { rows, hasNext, hasPrev } = await ordered.seek(seekRequest)
  const nodes = stripHiddenColumns(rows)
  const edges = nodes.map((node, at) => ({ node, cursor: ordered.cursorAt(rows[at] as Row) }))
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
      total ??= countQuery(ordered.runner, request.signal)
      return total
    },
  }
}

function toSeekRequest(args: ConnectionArguments, sizes: { default: number; max: number }): SeekRequest {
  const first = args.first ?? undefined
  const last = args.last ?? undefined
  const after = args.after ?? undefined
  const before = args.before ?? undefined
  const isBackward = last !== undefined || (first === undefined && before !== undefined)
  if (first !== undefined && last !== undefined) throw new PageInvalidError('Expected `first` or `last`, got both')
  if (after !== undefined && before !== undefined) throw new PageInvalidError('Expected `after` or `before`, got both')
  if (isBackward && after !== undefined) throw new PageInvalidError('Expected `before` with `last`, got `after`')
  if (!isBackward && before !== undefined) throw new PageInvalidError('Expected `after` with `first`, got `before`')
  const asked = isBackward ? last : first
  const limit = asked === undefined ? sizes.default : expectFromClient(asked, isBackward ? 'last' : 'first', sizes.max)
  return { isBackward, cursor: after ?? before, limit }
}
