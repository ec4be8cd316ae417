import { AliasNode, type IdentifierNode, type OperationNode, type RootOperationNode, TableNode } from 'kysely'
import { columnOf } from './query-comparison.ts'

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
  const { from, joins = [], where, orderBy } = root
  const sources = [...(from?.froms ?? []), ...joins.map(({ table }) => table)]
  const temporary = new Set(root.with?.expressions.map(({ name }) => nameOf(name.table)))
  const tables = sources.flatMap(tableOf).filter(({ table }) => !temporary.has(table))
  const usages = tables.map((table) => ({ ...table, equal: new Set<string>(), range: '', sort: [] as string[] }))
  // A column that names no table can be of the only one.
  const usageOf = (name: string | undefined) =>
    usages.find(({ alias }) => (name === undefined ? sources.length === 1 : name === alias))
  const conditions = [where?.where, ...joins.map(({ on }) => on?.on)]
  for (const { alias, column, operator } of conditions.flatMap((condition) => conjuncts(condition))) {
    const used = usageOf(alias)
    if (used === undefined) continue
    if (equality.has(operator)) used.equal.add(column)
    else if (ranges.has(operator)) used.range ||= column
  }
  const sorted = orderBy?.items ?? []
  for (const item of sorted) {
    const reference = columnOf(item.orderBy as Parameters<typeof columnOf>[0])
    if (reference !== undefined) usageOf(reference.table)?.sort.push(reference.column)
  }
  return usages.flatMap(({ table, alias, equal, range, sort }) => {
    const sorts = sort.length === sorted.length && (range === '' || sort[0] === range)
    const columns = [...new Set([...equal, ...(sorts ? sort : []), ...(range === '' ? [] : [range])])]
    return columns.length === 0 ? [] : [{ table, alias, columns }]
  })
}

const equality = new Set(['=', '==', 'is', 'in', '<=>'])
const ranges = new Set(['<', '<=', '>', '>=', 'between'])

/** A table by its name; the columns of a subquery are its own. */
function tableOf(node: OperationNode): { readonly table: string; readonly alias: string }[] {
  if (TableNode.is(node)) return [{ table: nameOf(node), alias: nameOf(node) }]
  if (!AliasNode.is(node) || !TableNode.is(node.node)) return []
  return [{ table: nameOf(node.node), alias: (node.alias as IdentifierNode).name }]
}

function nameOf({ table }: TableNode): string {
  return table.identifier.name
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
