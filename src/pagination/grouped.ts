import {
  AggregateFunctionNode,
  AliasNode,
  ColumnNode,
  IdentifierNode,
  type OperationNode,
  RawNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
} from 'kysely'
import { QueryUnsupportedError } from './errors.ts'
import { canonical, columnName, outputName, someNode, written } from './nodes.ts'
import type { OrderKey } from './ordered-query.ts'

/** Whether a condition added to the query would change its rows, instead of choosing among them. */
export function isGrouped(node: SelectQueryNode): boolean {
  return isAggregated(node) || selectsSome(node, isWindow)
}

/** Whether the rows of the query are other rows than those of its tables. */
export function isAggregated(node: SelectQueryNode): boolean {
  return (
    node.groupBy !== undefined ||
    node.having !== undefined ||
    node.setOperations !== undefined ||
    isDistinct(node) ||
    selectsSome(node, (part) => AggregateFunctionNode.is(part) && part.over === undefined)
  )
}

/** `select * from (<query>) as ph`, to which conditions and an order can be added. */
export function derived(query: SelectQueryNode): SelectQueryNode {
  const { with: expressions, ...inner } = query
  const outer = SelectQueryNode.createFrom([AliasNode.create(inner, IdentifierNode.create('ph'))], expressions)
  return SelectQueryNode.cloneWithSelections(outer, [SelectionNode.createSelectAll()])
}

/**
 * The grouped query as a table of its own, and its keys as columns of that table. A key that the query does not select is
 * added to it, where that changes nothing.
 *
 * @throws QueryUnsupportedError when a key of a distinct or combined query is not among its columns
 */
export function wrap(
  query: SelectQueryNode,
  keys: readonly OrderKey[],
  quote: string | undefined,
): { base: SelectQueryNode; keys: OrderKey[] } {
  const added: SelectionNode[] = []
  const outer = keys.map((key) => {
    const name = selectedAs(key.node, query) ?? addColumn(key.node, query, added)
    const node = ReferenceNode.create(ColumnNode.create(name))
    return { ...key, node, sql: written(node, quote) }
  })
  return { base: derived({ ...query, selections: [...(query.selections ?? []), ...added] }), keys: outer }
}

function isDistinct({ distinctOn, frontModifiers }: SelectQueryNode): boolean {
  return distinctOn !== undefined || (frontModifiers?.some(({ modifier }) => modifier === 'Distinct') ?? false)
}

function selectsSome({ selections = [] }: SelectQueryNode, found: (part: OperationNode) => boolean): boolean {
  for (const { selection } of selections) {
    if (AliasNode.is(selection) && someNode(selection.node, found)) return true
  }
  return false
}

function isWindow(node: OperationNode): boolean {
  if (AggregateFunctionNode.is(node)) return node.over !== undefined
  return RawNode.is(node) && /\bover\s*[("[`\w]/i.test(node.sqlFragments.join('?'))
}

function selectedAs(key: OperationNode, { selections = [] }: SelectQueryNode): string | undefined {
  const wanted = canonical(key)
  const selected = selections.find(
    ({ selection }) => canonical(AliasNode.is(selection) ? selection.node : selection) === wanted,
  )
  if (selected !== undefined) return outputName(selected)
  if (!ReferenceNode.is(key)) return undefined
  const name = columnName(key)
  const everything = selections.some(
    ({ selection }) => selection.kind === 'SelectAllNode' || selectsAllOf(selection, key),
  )
  return everything || selections.some((selection) => outputName(selection) === name) ? name : undefined
}

/** Whether the selection is `table.*` of the key's table. */
function selectsAllOf(selection: OperationNode, key: ReferenceNode): boolean {
  if (!ReferenceNode.is(selection) || selection.column.kind !== 'SelectAllNode') return false
  return key.table === undefined || selection.table?.table.identifier.name === key.table.table.identifier.name
}

function addColumn(key: OperationNode, query: SelectQueryNode, added: SelectionNode[]): string {
  if (isDistinct(query) || query.setOperations !== undefined) {
    throw new QueryUnsupportedError('A key of a distinct or combined query must be one of the columns that it selects')
  }
  const name = `phx${added.length}`
  added.push(SelectionNode.create(AliasNode.create(key, IdentifierNode.create(name))))
  return name
}
