import type { OperationNode, RootOperationNode } from 'kysely'
import { columnOf, walk } from './query-comparison.ts'

/** An index that a query could use. */
export interface IndexCandidate {
  readonly table: string
  /** The name the query gives the table, in which its plan speaks. */
  readonly alias: string
  readonly columns: readonly string[]
}

/**
 * Indexes derived from a query's syntax tree: for each table the columns compared by `=` (joins included), then those it
 * sorts by, or else one that it compares by range. Conditions under OR are left alone.
 */
export function indexCandidates(root: RootOperationNode): IndexCandidate[] {
  if (root.kind !== 'SelectQueryNode' || root.setOperations !== undefined) return []
  const tables = tablesOf([...(root.from?.froms ?? []), ...(root.joins ?? []).map(({ table }) => table)])
  const only = tables.length === 1 ? tables[0]?.alias : undefined
  const usage = new Map(
    tables.map(({ alias }) => [alias, { equal: new Set<string>(), range: '', sort: [] as string[] }]),
  )
  const conditions = [root.where?.where, ...(root.joins ?? []).map(({ on }) => on?.on)]
  for (const { alias = only, column, operator } of conditions.flatMap((condition) => conjuncts(condition))) {
    const used = usage.get(alias ?? '')
    if (used === undefined) continue
    if (equality.has(operator)) used.equal.add(column)
    else if (ranges.has(operator)) used.range ||= column
  }
  for (const item of root.orderBy?.items ?? []) {
    const reference = columnOf(item.orderBy as Parameters<typeof columnOf>[0])
    usage.get(reference?.table ?? only ?? '')?.sort.push(reference?.column ?? '')
  }
  return tables.flatMap(({ table, alias }) => {
    const { equal, range, sort } = usage.get(alias) ?? { equal: new Set<string>(), range: '', sort: [] }
    const sorts = sort.length === (root.orderBy?.items.length ?? 0) && (range === '' || sort[0] === range)
    const columns = [...new Set([...equal, ...(sorts ? sort : []), ...(range === '' ? [] : [range])])]
    return columns.length === 0 || columns.includes('') ? [] : [{ table, alias, columns }]
  })
}

const equality = new Set(['=', '==', 'is', 'in', '<=>'])
const ranges = new Set(['<', '<=', '>', '>=', 'between'])

function tablesOf(nodes: readonly OperationNode[]): { readonly table: string; readonly alias: string }[] {
  return nodes.flatMap((node) => {
    const names: string[] = []
    walk(node, (part) => {
      if (part.kind === 'TableNode') names.push(part as unknown as string)
    })
    const [table] = names as unknown as { readonly table: { readonly identifier: { readonly name: string } } }[]
    if (table === undefined || names.length > 1) return []
    const { name } = table.table.identifier
    const alias = node.kind === 'AliasNode' ? (node as unknown as { alias: { name?: string } }).alias.name : undefined
    return [{ table: name, alias: alias ?? name }]
  })
}

interface Condition {
  readonly alias: string | undefined
  readonly column: string
  readonly operator: string
}

/** The comparisons that must all hold. */
function conjuncts(node: OperationNode | undefined): Condition[] {
  switch (node?.kind) {
    case 'AndNode': {
      const { left, right } = node as unknown as { left: OperationNode; right: OperationNode }
      return [...conjuncts(left), ...conjuncts(right)]
    }
    case 'ParensNode':
      return conjuncts((node as unknown as { node: OperationNode }).node)
    case 'BinaryOperationNode': {
      const { leftOperand, operator, rightOperand } = node as unknown as {
        leftOperand: Parameters<typeof columnOf>[0]
        operator: { operator?: string }
        rightOperand: Parameters<typeof columnOf>[0]
      }
      return [leftOperand, rightOperand].flatMap((operand) => {
        const reference = columnOf(operand)
        if (reference === undefined) return []
        return [{ alias: reference.table, column: reference.column, operator: operator.operator ?? '' }]
      })
    }
    default:
      return []
  }
}
