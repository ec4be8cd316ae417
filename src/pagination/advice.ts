import {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  type IdentifierNode,
  type JoinNode,
  type OperationNode,
  OperatorNode,
  ParensNode,
  ReferenceNode,
  type SelectQueryNode,
  TableNode,
  ValueNode,
} from 'kysely'
import { columnName, someNode } from './nodes.ts'
import { isNative } from './order.ts'
import type { OrderedQuery, OrderKey } from './ordered-query.ts'
import { seekStrategy } from './position.ts'
import type { SqlDialect } from './types.ts'

/** What the query itself tells about the table that its pages are read from. */
export interface PageShape {
  /** The table whose rows the keys order, and its name in the query. */
  readonly driving: NamedTable | undefined
  /** Columns of that table that the filters fix to one value, in the order of the filters. */
  readonly fixed: readonly FixedColumn[]
  /** The keys that are left to order by. */
  readonly keys: readonly OrderKey[]
  /** Tables that are looked up for each row, and the columns by which they are. */
  readonly lookups: readonly Lookup[]
  /** Why the page is no seek, whatever its indexes. */
  readonly obstacle: string | undefined
  /** Why no index can be named for it. */
  readonly unadvisable: string | undefined
}

export interface NamedTable {
  readonly name: string
  readonly table: TableNode
}

interface FixedColumn {
  readonly column: string
  readonly isNull: boolean
}

interface Lookup extends NamedTable {
  readonly columns: readonly string[]
}

/** Finds the table, the equalities and the keys that an index for the pages of the query is made of. */
export function shapeOf(order: OrderedQuery, dialect: SqlDialect): PageShape {
  const { base, keys } = order
  const tables = tablesOf(base)
  const home = homeOf(keys, tables)
  const driving = tables.find(({ name }) => name === home)
  const owner = (node: ReferenceNode) => tableName(node) ?? home
  const isHome = (node: ReferenceNode) => owner(node) === home
  const filters = conditionsOf(base.where?.where)
  const fixed = filters.flatMap((filter) => fixedBy(filter, isHome, dialect))
  const left = keys.filter(({ node }) => !fixed.some(({ column }) => isColumn(node, column)))
  const lookups = (base.joins ?? []).flatMap((join) => lookupOf(join, tables))
  return { driving, fixed, keys: left, lookups, obstacle: obstacle(), unadvisable: unadvisable() }

  function obstacle(): string | undefined {
    if (order.grouped) return 'its rows are made of several rows of the tables'
    const other = filters.some(
      (filter) => fixedBy(filter, isHome, dialect).length === 0 && !bounds(filter, left[0], owner),
    )
    if (other) return 'it has a filter that is not `column = value`, so rows are read that are not shown'
    if (dialect !== 'postgres' && !keys.every((key) => isNative(key, dialect))) {
      return 'the NULLs of a key are to stand where no index of this database has them'
    }
    return dialect !== 'mysql' && seekStrategy(order, dialect) === 'or' ? 'it locks its rows' : undefined
  }

  function unadvisable(): string | undefined {
    if (driving === undefined) return 'it does not read from a table, but from a query'
    const foreign = keys.some(({ node }) => someNode(node, (part) => ReferenceNode.is(part) && owner(part) !== home))
    if (foreign) return 'its keys belong to more than one table'
    if (dialect === 'postgres' || left.every(({ node }) => ReferenceNode.is(node))) return undefined
    return 'one of its keys is computed: keep its value in a column'
  }
}

/** The column of a reference, if the node is one to the column. */
export function isColumn(node: OperationNode, column: string): boolean {
  return ReferenceNode.is(node) && columnName(node) === column
}

function tablesOf({ from, joins = [], with: common }: SelectQueryNode): NamedTable[] {
  const named = [...(from?.froms ?? []), ...joins.map((join) => join.table)].flatMap(namedTable)
  const queries = common?.expressions.map(({ name }) => name.table.table.identifier.name) ?? []
  return named.filter(({ table }) => table.table.schema !== undefined || !queries.includes(table.table.identifier.name))
}

function namedTable(node: OperationNode): NamedTable[] {
  if (TableNode.is(node)) return [{ name: node.table.identifier.name, table: node }]
  if (!AliasNode.is(node) || !TableNode.is(node.node)) return []
  // Only a query or raw SQL can have an alias that is raw SQL.
  return [{ name: (node.alias as IdentifierNode).name, table: node.node }]
}

/** The table of the first key that names one; else the first of the query. */
function homeOf(keys: readonly OrderKey[], tables: readonly NamedTable[]): string | undefined {
  const names = keys.flatMap(({ node }) => (ReferenceNode.is(node) ? [tableName(node)] : []))
  return names.find((name) => name !== undefined) ?? tables[0]?.name
}

function tableName(node: ReferenceNode): string | undefined {
  return node.table?.table.identifier.name
}

/** The conditions that must all hold. */
function conditionsOf(node: OperationNode | undefined): OperationNode[] {
  if (node === undefined) return []
  if (ParensNode.is(node)) return conditionsOf(node.node)
  if (AndNode.is(node)) return [...conditionsOf(node.left), ...conditionsOf(node.right)]
  return [node]
}

function fixedBy(filter: OperationNode, isHome: (node: ReferenceNode) => boolean, dialect: SqlDialect): FixedColumn[] {
  const comparison = comparisonOf(filter)
  if (comparison === undefined || !isHome(comparison.column)) return []
  const { operator, value } = comparison
  const column = columnName(comparison.column) as string
  const isNull = ValueNode.is(value) && value.value === null
  const isTruth = ValueNode.is(value) && typeof value.value === 'boolean'
  // Only PostgreSQL has a range for `is true`.
  const equal = operator === '=' || operator === '==' || (operator === 'is' && (!isTruth || dialect === 'postgres'))
  return equal && isNull === (operator === 'is' && isNull) ? [{ column, isNull }] : []
}

/** Whether the filter cuts the list at one of its ends, which an index does as well. */
function bounds(
  filter: OperationNode,
  first: OrderKey | undefined,
  owner: (node: ReferenceNode) => string | undefined,
): boolean {
  const comparison = comparisonOf(filter)
  if (comparison === undefined || first === undefined || !ReferenceNode.is(first.node)) return false
  const { column, operator } = comparison
  const same = columnName(column) === columnName(first.node) && owner(column) === owner(first.node)
  return same && ['<', '<=', '>', '>=', 'is not'].includes(operator)
}

function comparisonOf(
  filter: OperationNode,
): { column: ReferenceNode; operator: string; value: OperationNode } | undefined {
  if (!BinaryOperationNode.is(filter) || !OperatorNode.is(filter.operator)) return undefined
  const { leftOperand, rightOperand } = filter
  const { operator } = filter.operator
  if (ReferenceNode.is(leftOperand) && isConstant(rightOperand)) {
    return { column: leftOperand, operator, value: rightOperand }
  }
  if (ReferenceNode.is(rightOperand) && isConstant(leftOperand) && operator === '=') {
    return { column: rightOperand, operator, value: leftOperand }
  }
  return undefined
}

/** The same for every row. Raw SQL may name columns, so it is not known to be. */
function isConstant(node: OperationNode): boolean {
  const varying = [
    'ReferenceNode',
    'ColumnNode',
    'RawNode',
    'SelectQueryNode',
    'PrimitiveValueListNode',
    'ValueListNode',
  ]
  return !someNode(node, ({ kind }) => varying.includes(kind))
}

function lookupOf({ table, on }: JoinNode, tables: readonly NamedTable[]): Lookup[] {
  const [named] = namedTable(table)
  const joined = tables.find((one) => one.table === named?.table)
  if (joined === undefined) return []
  const columns = conditionsOf(on?.on).flatMap((condition) => {
    if (!BinaryOperationNode.is(condition)) return []
    const sides = [condition.leftOperand, condition.rightOperand].filter(ReferenceNode.is)
    const own = sides.find((side) => tableName(side) === joined.name)
    return own === undefined ? [] : [columnName(own) as string]
  })
  return columns.length === 0 ? [] : [{ ...joined, columns }]
}
