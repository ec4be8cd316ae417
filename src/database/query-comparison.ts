import { isDeepStrictEqual } from 'node:util'
import type { OperationNode, RootOperationNode } from 'kysely'

/** A column compared with a value, somewhere in a query. */
export interface Comparison {
  readonly table: string | undefined
  readonly column: string
  readonly operator: string
  readonly value: unknown
}

/**
 * Whether two runs of a query are pages of the same list: what differs are bounds on columns it sorts by, or its offset.
 */
export function pagesOn(one: RootOperationNode, other: RootOperationNode): boolean {
  const sorted = new Set(sortColumns(one))
  const differing = differences(comparisons(one), comparisons(other))
  const bounds = differing.filter(({ operator }) => operator !== '=')
  // A seek compares equal on the first keys and beyond on the last one, so some of its columns vary with `=` as well.
  if (bounds.some(({ column }) => sorted.has(column))) return differing.every(({ column }) => sorted.has(column))
  return differing.length === 0 && offsetOf(one) !== offsetOf(other)
}

/** The columns compared by `=` with values that differ between the two runs, in the order they are written. */
export function varyingColumns(one: RootOperationNode, other: RootOperationNode): Comparison[] {
  return differences(comparisons(one), comparisons(other)).filter(({ operator }) => operator === '=')
}

/** All comparisons of a column with a value, in the order they are written. */
export function comparisons(root: OperationNode): Comparison[] {
  const found: Comparison[] = []
  walk(root, (node) => {
    if (node.kind !== 'BinaryOperationNode') return
    const { leftOperand, operator, rightOperand } = node as unknown as BinaryOperation
    const reference = columnOf(leftOperand)
    if (reference === undefined || !('value' in rightOperand || 'values' in rightOperand)) return
    found.push({ ...reference, operator: operator.operator ?? '', value: rightOperand.value ?? rightOperand.values })
  })
  return found
}

/** Columns of the ORDER BY, in order. */
export function sortColumns(root: OperationNode): string[] {
  const found: string[] = []
  walk(root, (node) => {
    if (node.kind !== 'OrderByItemNode') return
    const reference = columnOf((node as unknown as { readonly orderBy: Operand }).orderBy)
    if (reference !== undefined) found.push(reference.column)
  })
  return found
}

/** The column a node names. */
export function columnOf(node: Operand): { readonly table: string | undefined; readonly column: string } | undefined {
  const column = node.kind === 'ReferenceNode' ? node.column : node
  const name = column?.kind === 'ColumnNode' ? column.column?.name : undefined
  return name === undefined ? undefined : { table: node.table?.table?.identifier?.name, column: name }
}

/** Calls the visitor for each node, parents first. */
export function walk(value: unknown, visit: (node: OperationNode) => void): void {
  if (typeof value !== 'object' || value === null || value instanceof Date || ArrayBuffer.isView(value)) return
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit)
    return
  }
  const node = value as OperationNode
  visit(node)
  if (node.kind === 'ValueNode' || node.kind === 'PrimitiveValueListNode') return
  for (const child of Object.values(node)) walk(child, visit)
}

/** The parts of Kysely's nodes that are read here; they differ by kind. */
interface Operand {
  readonly kind: string
  readonly column?: Operand & { readonly name?: string }
  readonly table?: { readonly table?: { readonly identifier?: { readonly name: string } } }
  readonly value?: unknown
  readonly values?: readonly unknown[]
}

interface BinaryOperation {
  readonly leftOperand: Operand
  readonly operator: { readonly operator?: string }
  readonly rightOperand: Operand
}

function differences(one: readonly Comparison[], other: readonly Comparison[]): Comparison[] {
  return one.filter((comparison, index) => !isDeepStrictEqual(comparison.value, other[index]?.value))
}

function offsetOf(root: RootOperationNode): unknown {
  return root.kind === 'SelectQueryNode' ? (root.offset?.offset as Operand | undefined)?.value : undefined
}
