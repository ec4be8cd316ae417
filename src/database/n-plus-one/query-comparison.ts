import type { OperationNode, RootOperationNode } from 'kysely'
import { type Comparison, comparisonOf } from '../../shared/index-advice/query-conditions.ts'
import { nodeUtil } from '../../shared/platform/builtins.ts'
import { walkQuery } from '../../shared/sql/query-tree.ts'

/** The columns that are compared by `=` with values that differ between the two runs, in the order of the query. */
export function varyingColumns(one: RootOperationNode, other: RootOperationNode): Comparison[] {
  const others = comparisonsIn(other)
  return comparisonsIn(one).filter(
    ({ operator, value }, index) => operator === '=' && !nodeUtil().isDeepStrictEqual(value, others[index]?.value),
  )
}

/** All comparisons of a column with a value or a list of values, in the order of the query. */
function comparisonsIn(root: RootOperationNode): Comparison[] {
  const found: Comparison[] = []
  walkQuery(root, (node) => {
    const comparison = comparisonOf(node as OperationNode)
    if (comparison && ('value' in comparison.value || 'values' in comparison.value)) found.push(comparison)
    return true
  })
  return found
}
