import type { RootOperationNode } from 'kysely'
import { nodeUtil } from '../../shared/platform/builtins.ts'
import { walkQuery } from '../../shared/sql/query-tree.ts'

/** A column compared with a value, somewhere in a query. */
export interface Comparison {
  readonly table: string | undefined
  readonly column: string
  readonly operator: string
  readonly value: unknown
}

/** The columns that are compared by `=` with values that differ between the two runs, in the order of the query. */
export function varyingColumns(one: RootOperationNode, other: RootOperationNode): Comparison[] {
  return differences(comparisons(one), comparisons(other)).filter(({ operator }) => operator === '=')
}

/** All comparisons of a column with a value, in the order of the query. */
function comparisons(root: RootOperationNode): Comparison[] {
  const found: Comparison[] = []
  walkQuery(root, (node) => {
    if (node.kind !== 'BinaryOperationNode') return true
    const { leftOperand, operator, rightOperand } = node as unknown as BinaryOperation
    const reference = columnOf(leftOperand)
    if (reference !== undefined && ('value' in rightOperand || 'values' in rightOperand)) {
      found.push({ ...reference, operator: operator.operator ?? '', value: rightOperand.value ?? rightOperand.values })
    }
    return true
  })
  return found
}

/** The column that a node names. */
export function columnOf(node: Operand): { readonly table: string | undefined; readonly column: string } | undefined {
  const column = node.kind === 'ReferenceNode' ? node.column : node
  const name = column?.kind === 'ColumnNode' ? column.column?.name : undefined
  return name === undefined ? undefined : { table: node.table?.table?.identifier?.name, column: name }
}

/** The fields of Kysely's nodes that are read here. Each kind of node has some of them. */
export interface Operand {
  readonly kind: string
  readonly column?: Operand & { readonly name?: string }
  readonly table?: { readonly table?: { readonly identifier?: { readonly name: string } } }
  readonly value?: unknown
  readonly values?: readonly unknown[]
}

export interface BinaryOperation {
  readonly leftOperand: Operand
  readonly operator: { readonly operator?: string }
  readonly rightOperand: Operand
}

function differences(one: readonly Comparison[], other: readonly Comparison[]): Comparison[] {
  return one.filter((comparison, index) => !nodeUtil().isDeepStrictEqual(comparison.value, other[index]?.value))
}
