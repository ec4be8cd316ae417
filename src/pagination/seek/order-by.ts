import type { OperationNode, OrderByNode, SelectQueryNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { byInstant } from '../key-text/mysql-times.ts'
import { isNative, type OrderKey, type ResolvedQuery } from './sort-keys.ts'
import { joined, raw, sqlText, withLimit } from './sql-nodes.ts'

/** Reads rows by OFFSET. */
export function offsetStatement(
  { base, keys }: ResolvedQuery,
  dialect: SqlDialect,
  limit: number,
  offset: number,
): SelectQueryNode {
  return withLimit({ ...base, orderBy: orderBy(orderTerms(keys, dialect)) }, dialect, limit, offset)
}

/** @param sqls - the SQL to order by instead of each key */
export function orderTerms(
  keys: readonly OrderKey[],
  dialect: SqlDialect,
  sqls: readonly OperationNode[] = keys.map(({ sql }) => sql),
): OperationNode {
  return joined(
    keys.map((key, at) => orderTerm(sqls[at] as OperationNode, key, dialect)),
    ', ',
  )
}

export function orderBy(terms: OperationNode): OrderByNode {
  return { kind: 'OrderByNode', items: [{ kind: 'OrderByItemNode', orderBy: terms }] }
}

function orderTerm(sql: OperationNode, key: OrderKey, dialect: SqlDialect): OperationNode {
  const direction = sqlText(key.isDescending ? 'desc' : 'asc')
  const term = joined(
    (key.isByInstant ? byInstant(key) : [sql]).map((part) => raw`${part} ${direction}`),
    ', ',
  )
  if (isNative(key, dialect)) return term
  if (dialect === 'postgres' || dialect === 'sqlite') {
    return key.nulls === 'first' ? raw`${term} nulls first` : raw`${term} nulls last`
  }
  return key.nulls === 'first'
    ? raw`case when ${sql} is null then 0 else 1 end, ${term}`
    : raw`case when ${sql} is null then 1 else 0 end, ${term}`
}
