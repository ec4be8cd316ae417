import {
  AliasNode,
  BinaryOperationNode,
  ColumnNode,
  type OperationNode,
  type OrderByItemNode,
  RawNode,
  ReferenceNode,
  type SelectQueryNode,
  ValueNode,
} from 'kysely'
import { nativeNulls, type SqlDialect } from '../sql/statement.ts'
import type { IndexKey, TableNeed } from './index-need.ts'
import {
  type Comparison,
  columnOf,
  comparisonOf,
  conditionsOf,
  equalityOf,
  type NamedColumn,
  namedTable,
  tablesOf,
} from './query-conditions.ts'

/** An index that may serve a query, with what is needed to estimate its use. */
export interface IndexCandidate extends TableNeed {
  /** The table as the query reads it, with its alias. */
  readonly source: OperationNode
  /** The conditions that the index answers. */
  readonly conditions: readonly OperationNode[]
  /**
   * The columns by which rows of other tables look up rows of this table. Empty if the table is read by itself.
   */
  readonly joinedBy: readonly JoinColumn[]
  /** Whether the index returns rows in the order of the query, which needs only the first of them. */
  readonly isOrdered: boolean
}

interface JoinColumn {
  readonly column: string
  /** The name of the other table. */
  readonly other: string
}

interface Filter extends Comparison {
  readonly node: OperationNode
  readonly match: 'value' | 'null' | 'range'
}

/**
 * Derives indexes from a query's tree. For each table:
 *
 * - the columns that are compared by `=`, followed by the order of a query with a limit, by one range or list, or by
 *   nothing
 * - the columns by which the table is joined
 *
 * Conditions under OR, with sub-queries, and on expressions are not used.
 */
export function indexCandidates(query: SelectQueryNode, dialect: SqlDialect): IndexCandidate[] {
  if (query.setOperations !== undefined) return []
  const tables = tablesOf(query)
  const sources = [...(query.from?.froms ?? []), ...(query.joins ?? []).map(({ table }) => table)]
  const ownerOf = ({ table }: NamedColumn) => table ?? (sources.length === 1 ? tables[0]?.name : undefined)
  const where = conditionsOf(query.where?.where)
  const inner = (query.joins ?? []).filter(({ joinType }) => joinType === 'InnerJoin')
  const conditions = [...where, ...inner.flatMap(({ on }) => conditionsOf(on?.on))]
  const filters = conditions.flatMap((node) => filterOf(node, dialect))
  const order = orderOf(query, dialect)
  return tables.flatMap((table) => {
    const source = sources.find((node) => namedTable(node)[0]?.table === table.table) as OperationNode
    const own = filters.filter((filter) => ownerOf(filter) === table.name)
    const base = { table, source, isOrdered: false, joinedBy: [], keys: [] }
    const read = readCandidates(
      own,
      order?.every((key) => ownerOf(key.name) === table.name) ? order : [],
      base,
      dialect,
    )
    return [...read, ...joinCandidates(query, own, conditions, ownerOf, base)]
  })

  function readCandidates(
    own: readonly Filter[],
    keys: readonly NamedKey[],
    base: Omit<IndexCandidate, 'fixed' | 'conditions'>,
    dialect: SqlDialect,
  ): IndexCandidate[] {
    // An index can use only one value of a column.
    const isFirst = ({ column }: Filter, at: number, all: readonly Filter[]) =>
      all.findIndex((one) => one.column === column) === at
    const equal = own.filter(({ match }) => match !== 'range').filter(isFirst)
    const fixed = equal.map(({ column, match }) => ({ column, isNull: match === 'null' }))
    const fixes = equal.map(({ node }) => node)
    const left = keys.filter(({ name }) => !fixed.some(({ column }) => column === name.column))
    const candidates: IndexCandidate[] = []
    if (left.length > 0 && (fixed.length > 0 || query.limit !== undefined)) {
      // A list is read value by value, so the rows come in no order.
      const bounds = own.filter(
        ({ match, column, operator }) => match === 'range' && column === left[0]?.name.column && operator !== 'in',
      )
      const conditions = [...fixes, ...bounds.map(({ node }) => node)]
      candidates.push({ ...base, fixed, keys: left, conditions, isOrdered: query.limit !== undefined })
    } else if (fixed.length > 0) candidates.push({ ...base, fixed, conditions: fixes })
    for (const [column, ranges] of Map.groupBy(
      own.filter(({ match }) => match === 'range'),
      ({ column }) => column,
    )) {
      if (fixed.some((one) => one.column === column)) continue
      const conditions = [...fixes, ...ranges.map(({ node }) => node)]
      candidates.push({ ...base, fixed, keys: [ascending(column, dialect)], conditions })
    }
    return candidates
  }
}

/** The columns by which other tables look up rows of this table, with the columns that are compared by `=`. */
function joinCandidates(
  query: SelectQueryNode,
  own: readonly Filter[],
  conditions: readonly OperationNode[],
  ownerOf: (column: NamedColumn) => string | undefined,
  base: Omit<IndexCandidate, 'fixed' | 'conditions'>,
): IndexCandidate[] {
  const { table } = base
  const join = (query.joins ?? []).find((one) => namedTable(one.table)[0]?.table === table.table)
  if (join !== undefined && join.joinType !== 'InnerJoin' && join.joinType !== 'LeftJoin') return []
  const joining = join?.joinType === 'LeftJoin' ? conditionsOf(join.on?.on) : conditions
  const joinedBy = joining.flatMap((node): JoinColumn[] => {
    if (!BinaryOperationNode.is(node) || (node.operator as { operator?: string }).operator !== '=') return []
    const sides = [columnOf(node.leftOperand), columnOf(node.rightOperand)]
    const [left, right] = sides.map((side) => side && { ...side, table: ownerOf(side) })
    if (left?.table === undefined || right?.table === undefined || left.table === right.table) return []
    const [mine, other] = left.table === table.name ? [left, right] : [right, left]
    return mine.table === table.name ? [{ column: mine.column, other: other.table as string }] : []
  })
  if (joinedBy.length === 0) return []
  const equal = own.filter(({ match }) => match === 'value')
  const candidateOf = (filters: readonly Filter[]) => {
    const columns = new Set([...filters, ...joinedBy].map(({ column }) => column))
    const fixed = [...columns].map((column) => ({ column, isNull: false }))
    return { ...base, joinedBy, fixed, conditions: filters.map(({ node }) => node) }
  }
  // Also propose the join columns alone: a column that filters few rows out may only make the index larger.
  return equal.length > 0 ? [candidateOf([]), candidateOf(equal)] : [candidateOf([])]
}

function filterOf(node: OperationNode, dialect: SqlDialect): Filter[] {
  const comparison = comparisonOf(node)
  if (comparison === undefined) return []
  const equality = equalityOf(comparison, dialect)
  if (equality !== undefined) return [{ ...comparison, node, match: equality }]
  return ranges.has(comparison.operator) ? [{ ...comparison, node, match: 'range' }] : []
}

/** An `in` list counts as a range. */
const ranges = new Set(['<', '<=', '>', '>=', 'between', 'in'])

interface NamedKey extends IndexKey {
  readonly name: NamedColumn
}

function ascending(column: string, dialect: SqlDialect): IndexKey {
  const node = ReferenceNode.create(ColumnNode.create(column))
  return { node, isDescending: false, nulls: nativeNulls(dialect, false) }
}

/** The keys of the query's order; `undefined` when no index can have this order. */
function orderOf(
  { orderBy, groupBy, distinctOn, selections }: SelectQueryNode,
  dialect: SqlDialect,
): NamedKey[] | undefined {
  if (groupBy !== undefined || distinctOn !== undefined) return undefined
  const keys = (orderBy?.items ?? []).flatMap((item) => keysOf(item as OrderByItemNode, dialect))
  const known = keys.flatMap((key): NamedKey[] => {
    const named = key && withoutAlias(key, selections)
    const isNative = named !== undefined && named.nulls === nativeNulls(dialect, named.isDescending)
    return named !== undefined && (isNative || dialect === 'postgres') ? [named] : []
  })
  if (known.length < keys.length) return undefined
  // A repeated key orders nothing.
  const isNew = ({ name }: NamedKey, at: number) =>
    known.findIndex((key) => key.name.column === name.column && key.name.table === name.table) === at
  return known.filter(isNew)
}

/** The key with the name of its column; `undefined` when the query uses the name as an alias of an expression. */
function withoutAlias(key: NamedKey, selections: SelectQueryNode['selections'] = []): NamedKey | undefined {
  if (key.name.table !== undefined) return key
  for (const { selection } of selections) {
    if (!AliasNode.is(selection) || (selection.alias as { name?: string }).name !== key.name.column) continue
    const name = columnOf(selection.node)
    return name && { ...key, node: selection.node, name }
  }
  return key
}

function keysOf(
  { orderBy, direction, nulls, collation }: OrderByItemNode,
  dialect: SqlDialect,
): (NamedKey | undefined)[] {
  const written = direction === undefined ? '' : RawNode.is(direction) ? direction.sqlFragments.join('') : '?'
  if (collation !== undefined || !/^(?:asc|desc)?$/i.test(written)) return [undefined]
  const name = columnOf(orderBy)
  const isDescending = written.toLowerCase() === 'desc'
  if (name !== undefined)
    return [{ node: orderBy, name, isDescending, nulls: nulls ?? nativeNulls(dialect, isDescending) }]
  return RawNode.is(orderBy) && orderBy.parameters.length === 0
    ? rawKeys(orderBy.sqlFragments.join(''), dialect)
    : [undefined]
}

/** Reads an order that is written as SQL text, as pages write theirs. */
function rawKeys(text: string, dialect: SqlDialect): (NamedKey | undefined)[] {
  return text.split(/, (?=["`])/).map((part) => {
    const [, name = '', direction, nulls] = /^(.+?)(?: (asc|desc))?(?: nulls (first|last))?$/i.exec(part) ?? []
    const column = columnOf(RawNode.createWithSql(name))
    const isDescending = direction?.toLowerCase() === 'desc'
    if (column === undefined) return undefined
    const placed = (nulls?.toLowerCase() as IndexKey['nulls'] | undefined) ?? nativeNulls(dialect, isDescending)
    return { node: RawNode.createWithSql(name), name: column, isDescending, nulls: placed }
  })
}

/** How many rows the query asks for, including those that it skips; `undefined` when it does not say so by values. */
export function rowsWanted({ limit, offset }: SelectQueryNode): number | undefined {
  const counts = [limit?.limit, offset?.offset].flatMap((node) => (node === undefined ? [] : [numberOf(node)]))
  return counts.length === 0 || counts.includes(undefined)
    ? undefined
    : counts.reduce((sum = 0, one = 0) => sum + one, 0)
}

function numberOf(node: OperationNode): number | undefined {
  const value = ValueNode.is(node) ? Number(node.value) : Number.NaN
  return Number.isFinite(value) ? value : undefined
}
