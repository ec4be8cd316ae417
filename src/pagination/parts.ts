import {
  AliasNode,
  AndNode,
  FetchNode,
  IdentifierNode,
  LimitNode,
  OffsetNode,
  type OperationNode,
  OrderByItemNode,
  OrderByNode,
  ParensNode,
  RawNode,
  SelectionNode,
  SelectQueryNode,
  TopNode,
  ValueNode,
  WhereNode,
} from 'kysely'
import { isNative, type OrderKey } from './order.ts'
import { raw } from './raw.ts'
import type { SqlDialect } from './types.ts'

/** The query with more columns. */
export function select(query: SelectQueryNode, columns: readonly SelectionNode[]): SelectQueryNode {
  return columns.length === 0 ? query : SelectQueryNode.cloneWithSelections(query, columns)
}

/** An expression as a column of the result. */
export function column(node: OperationNode, name: string): SelectionNode {
  return SelectionNode.create(AliasNode.create(node, IdentifierNode.create(name)))
}

/** The query with one more condition; the user's own is kept together, for raw SQL may have an `or` in it. */
export function where(query: SelectQueryNode, condition: OperationNode): SelectQueryNode {
  const filter = query.where ? AndNode.create(ParensNode.create(query.where.where), condition) : condition
  return { ...query, where: WhereNode.create(filter) }
}

/** The query in the order of the keys. */
export function ordered(
  query: SelectQueryNode,
  keys: readonly OrderKey[],
  dialect: SqlDialect,
  nodeOf: (key: OrderKey, at: number) => OperationNode = ({ node }) => node,
): SelectQueryNode {
  const items = keys.flatMap((key, at) => orderItems(nodeOf(key, at), key, dialect))
  return { ...query, orderBy: OrderByNode.create(items) }
}

const ascending = RawNode.createWithSql('asc')
const descending = RawNode.createWithSql('desc')

function orderItems(node: OperationNode, key: OrderKey, dialect: SqlDialect): OrderByItemNode[] {
  const item = OrderByItemNode.create(node, key.descending ? descending : ascending)
  if (isNative(key, dialect)) return [item]
  if (dialect === 'postgres' || dialect === 'sqlite') return [OrderByItemNode.cloneWith(item, { nulls: key.nulls })]
  const isNull = raw`case when ${node} is null then 1 else 0 end`
  return [OrderByItemNode.create(isNull, key.nulls === 'first' ? descending : ascending), item]
}

/** The query cut to a number of rows. */
export function limited(query: SelectQueryNode, dialect: SqlDialect, limit: number, offset = 0): SelectQueryNode {
  if (dialect === 'mssql') {
    if (offset === 0) return { ...query, top: TopNode.create(limit) }
    return { ...query, offset: OffsetNode.create(ValueNode.create(offset)), fetch: FetchNode.create(limit, 'only') }
  }
  const node = { ...query, limit: LimitNode.create(ValueNode.create(limit)) }
  return offset === 0 ? node : { ...node, offset: OffsetNode.create(ValueNode.create(offset)) }
}
