import {
  AliasNode,
  type ColumnNode,
  IdentifierNode,
  type OperationNode,
  type RawNode,
  ReferenceNode,
  type SelectionNode,
  type SelectQueryNode,
} from 'kysely'
import { constant, raw } from './raw.ts'

/** The text of an expression that is the same for the same expression. */
export function canonical(node: OperationNode): string {
  if (!ReferenceNode.is(node))
    return JSON.stringify(node, (_key, value) => (typeof value === 'bigint' ? `${value}n` : value))
  const column = columnName(node) ?? '*'
  if (node.table === undefined) return column
  const { schema, identifier } = node.table.table
  return schema === undefined ? `${identifier.name}.${column}` : `${schema.name}.${identifier.name}.${column}`
}

/** The node for a statement: a name is written out, so that it costs nothing to compile, and the rest put in brackets. */
export function written(node: OperationNode, quote: string | undefined): RawNode {
  if (!ReferenceNode.is(node)) return raw`(${node})`
  if (quote === undefined) return raw`${node}`
  const name = quoted(columnName(node) as string, quote)
  if (node.table === undefined) return constant(name)
  const { schema, identifier } = node.table.table
  const table = `${quoted(identifier.name, quote)}.${name}`
  return constant(schema === undefined ? table : `${quoted(schema.name, quote)}.${table}`)
}

function quoted(name: string, quote: string): string {
  return quote + name.replaceAll(quote, quote + quote) + quote
}

/** What the name stands for: an unqualified one that the query selects is what it selects, else it is itself. */
export function outputNode(node: OperationNode, { selections }: SelectQueryNode): OperationNode {
  if (!ReferenceNode.is(node) || node.table !== undefined) return node
  const name = columnName(node)
  const selected = selections?.find((selection) => outputName(selection) === name)?.selection
  if (selected === undefined) return node
  return AliasNode.is(selected) ? selected.node : selected
}

/** The name of a column of the result, where the selection tells it. */
export function outputName({ selection }: SelectionNode): string | undefined {
  if (AliasNode.is(selection)) return IdentifierNode.is(selection.alias) ? selection.alias.name : undefined
  return ReferenceNode.is(selection) ? columnName(selection) : undefined
}

/** The column of a reference, and `undefined` for `table.*`. */
export function columnName({ column }: ReferenceNode): string | undefined {
  return column.kind === 'ColumnNode' ? (column as ColumnNode).column.name : undefined
}

/** Whether a part of the tree, subqueries excepted, is what is looked for. */
export function someNode(node: OperationNode, found: (node: OperationNode) => boolean): boolean {
  if (found(node)) return true
  if (node.kind === 'SelectQueryNode') return false
  return Object.values(node).some((value) => {
    if (Array.isArray(value)) return value.some((item) => isNode(item) && someNode(item, found))
    return isNode(value) && someNode(value, found)
  })
}

function isNode(value: unknown): value is OperationNode {
  return typeof value === 'object' && value !== null && 'kind' in value
}
