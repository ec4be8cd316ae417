import {
  AliasNode,
  AndNode,
  BinaryOperationNode,
  type ColumnNode,
  type IdentifierNode,
  type OperationNode,
  OperatorNode,
  ParensNode,
  RawNode,
  ReferenceNode,
  type SelectQueryNode,
  TableNode,
  ValueNode,
} from 'kysely'
import { someNode } from '../sql/query-tree.ts'
import type { SqlDialect } from '../sql/statement.ts'

/** A table and its name in the query. */
export interface NamedTable {
  readonly name: string
  readonly table: TableNode
}

/** A column, and the name of its table if the query gives it. */
export interface NamedColumn {
  readonly table: string | undefined
  readonly column: string
}

/** A column that is compared with a value that is the same for every row. */
export interface Comparison extends NamedColumn {
  readonly operator: string
  readonly value: OperationNode
}

/** The tables that the query reads from and joins, without sub-queries and common table expressions. */
export function tablesOf({ from, joins = [], with: common }: SelectQueryNode): NamedTable[] {
  const named = [...(from?.froms ?? []), ...joins.map((join) => join.table)].flatMap(namedTable)
  const queries = common?.expressions.map(({ name }) => name.table.table.identifier.name) ?? []
  return named.filter(({ table }) => table.table.schema !== undefined || !queries.includes(table.table.identifier.name))
}

export function namedTable(node: OperationNode): NamedTable[] {
  if (TableNode.is(node)) return [{ name: node.table.identifier.name, table: node }]
  if (!AliasNode.is(node) || !TableNode.is(node.node)) return []
  // The alias of a table is never raw SQL: only a query or raw SQL can have such an alias.
  return [{ name: (node.alias as IdentifierNode).name, table: node.node }]
}

/** The conditions that must all hold. */
export function conditionsOf(node: OperationNode | undefined): OperationNode[] {
  if (node === undefined) return []
  if (ParensNode.is(node)) return conditionsOf(node.node)
  if (AndNode.is(node)) return [...conditionsOf(node.left), ...conditionsOf(node.right)]
  return [node]
}

/** The column that a node names. Raw SQL counts if it is only a quoted name. */
export function columnOf(node: OperationNode): NamedColumn | undefined {
  if (ReferenceNode.is(node)) {
    const { column, table } = node
    if (column.kind !== 'ColumnNode') return undefined
    return { table: table?.table.identifier.name, column: (column as ColumnNode).column.name }
  }
  if (!RawNode.is(node)) return undefined
  const { sqlFragments, parameters } = node
  const text = sqlFragments.join('')
  if (parameters.length > 0)
    return parameters.length === 1 && text === '' ? columnOf(parameters[0] as OperationNode) : undefined
  const match = quotedName.exec(text)
  if (match === null) return undefined
  return { table: unquoted(match[1]), column: unquoted(match[2]) as string }
}

const quotedPart = '("(?:[^"]|"")+"|`(?:[^`]|``)+`)'
const quotedName = new RegExp(`^(?:${quotedPart}\\.)?${quotedPart}$`)

function unquoted(name: string | undefined): string | undefined {
  const quote = name?.charAt(0) as string
  return name?.slice(1, -1).replaceAll(quote + quote, quote)
}

export function comparisonOf(condition: OperationNode): Comparison | undefined {
  if (!BinaryOperationNode.is(condition) || !OperatorNode.is(condition.operator)) return undefined
  const { leftOperand, rightOperand } = condition
  const { operator } = condition.operator
  const [left, right] = [columnOf(leftOperand), columnOf(rightOperand)]
  if (left !== undefined && isConstant(rightOperand)) return { ...left, operator, value: rightOperand }
  const mirrored = mirroredOperators.get(operator)
  if (right === undefined || mirrored === undefined || !isConstant(leftOperand)) return undefined
  return { ...right, operator: mirrored, value: leftOperand }
}

const mirroredOperators = new Map([
  ['=', '='],
  ['<', '>'],
  ['<=', '>='],
  ['>', '<'],
  ['>=', '<='],
])

/** Whether the comparison fixes the column to one value: `'null'` if that value is NULL. */
export function equalityOf({ operator, value }: Comparison, dialect: SqlDialect): 'value' | 'null' | undefined {
  if (hasList(value)) return undefined
  const isNull = ValueNode.is(value) && value.value === null
  const isTruth = ValueNode.is(value) && typeof value.value === 'boolean'
  // Only PostgreSQL uses an index for `is true`.
  if (operator === 'is') return isNull ? 'null' : isTruth && dialect !== 'postgres' ? undefined : 'value'
  return (operator === '=' || operator === '==') && !isNull ? 'value' : undefined
}

function hasList(value: OperationNode): boolean {
  return someNode(value, ({ kind }) => kind === 'PrimitiveValueListNode' || kind === 'ValueListNode')
}

/** Whether the node is the same for every row. Raw SQL may name columns, so it does not count. */
function isConstant(node: OperationNode): boolean {
  return !someNode(node, ({ kind }) => varyingKinds.includes(kind))
}

const varyingKinds = ['ReferenceNode', 'ColumnNode', 'RawNode', 'SelectQueryNode']
