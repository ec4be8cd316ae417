import type { OperationNode, OrderByNode, SelectionNode, SelectQueryNode } from 'kysely'
import { isNative } from './order.ts'
import type { OrderKey } from './ordered-query.ts'
import { joined, raw, value } from './raw.ts'
import type { SqlDialect } from './types.ts'

/** The query with one more column, or several that are written as one, and in an order. */
export function select(query: SelectQueryNode, columns: SelectionNode, order?: OrderByNode): SelectQueryNode {
  const selections = query.selections ? [...query.selections, columns] : [columns]
  return order === undefined ? { ...query, selections } : { ...query, selections, orderBy: order }
}

/** Columns as one. */
export function selection(columns: readonly OperationNode[]): SelectionNode {
  return { kind: 'SelectionNode', selection: joined(columns, ', ') as SelectionNode['selection'] }
}

/** The query with no other column. */
export function only(query: SelectQueryNode, column: OperationNode): SelectQueryNode {
  return { ...query, selections: [selection([column])] }
}

/** An expression as a column of the result; the names are ours, and no dialect has to have them quoted. */
export function column(node: OperationNode, name: string): OperationNode {
  return raw(['', ` as ${name}`], node)
}

/** The query with one more condition; the user's own is kept together, for raw SQL may have an `or` in it. */
export function where(query: SelectQueryNode, condition: OperationNode): SelectQueryNode {
  const filter = query.where ? raw`(${query.where.where}) and ${condition}` : condition
  return { ...query, where: { kind: 'WhereNode', where: filter } }
}

/** The order of the keys, or of what stands for them. */
export function orderBy(keys: readonly OrderKey[], dialect: SqlDialect, sqls: readonly OperationNode[]): OrderByNode {
  const terms = keys.map((key, at) => orderTerm(sqls[at] as OperationNode, key, dialect))
  return { kind: 'OrderByNode', items: [{ kind: 'OrderByItemNode', orderBy: joined(terms, ', ') }] }
}

function orderTerm(sql: OperationNode, key: OrderKey, dialect: SqlDialect): OperationNode {
  const term = key.descending ? raw`${sql} desc` : raw`${sql} asc`
  if (isNative(key, dialect)) return term
  if (dialect === 'postgres' || dialect === 'sqlite') {
    return key.nulls === 'first' ? raw`${term} nulls first` : raw`${term} nulls last`
  }
  return key.nulls === 'first'
    ? raw`case when ${sql} is null then 0 else 1 end, ${term}`
    : raw`case when ${sql} is null then 1 else 0 end, ${term}`
}

/** The query cut to a number of rows. */
export function limited(query: SelectQueryNode, dialect: SqlDialect, limit: number, offset = 0): SelectQueryNode {
  if (dialect === 'mssql') {
    if (offset === 0) return { ...query, top: { kind: 'TopNode', expression: limit } }
    const fetch = { kind: 'FetchNode', rowCount: value(limit), modifier: 'only' } as const
    return { ...query, offset: { kind: 'OffsetNode', offset: value(offset) }, fetch }
  }
  const node: SelectQueryNode = { ...query, limit: { kind: 'LimitNode', limit: value(limit) } }
  return offset === 0 ? node : { ...node, offset: { kind: 'OffsetNode', offset: value(offset) } }
}
