import {
  type AliasNode,
  IdentifierNode,
  type OperationNode,
  type ParensNode,
  SelectionNode,
  type SelectQueryNode,
  type SetOperationNode,
  type WithNode,
} from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { commonTable, joined, parameter, raw, tableNode } from './sql-nodes.ts'

/** The branches under `union all`, in the form that the planner reads as one index range each. */
export function unionOf(branches: readonly SelectQueryNode[], dialect: SqlDialect, limit: number): SelectQueryNode {
  if (dialect === 'sqlite') return mergedUnion(branches)
  return branches.length > 3 ? unionWithRemainingLimit(branches, limit) : limitedUnion(branches)
}

/** SQLite sorts each branch, here by an index, and merges them up to the limit. */
function mergedUnion([first, ...rest]: readonly SelectQueryNode[]): SelectQueryNode {
  const operations = rest.map((branch) => {
    return unionAll({ ...branch, with: undefined, orderBy: undefined, limit: undefined } as OperationNode)
  })
  return { ...(first as SelectQueryNode), setOperations: operations }
}

/** PostgreSQL merges branches that have an order and a limit each. It may read each of them up to the limit. */
function limitedUnion(branches: readonly SelectQueryNode[]): SelectQueryNode {
  const own = branches[0]?.with
  const [first, ...rest] = own === undefined ? branches : branches.map((branch) => ({ ...branch, with: undefined }))
  const from = { kind: 'AliasNode', node: first, alias: unionName } as AliasNode
  const operations = rest.map((branch) => unionAll({ kind: 'ParensNode', node: branch } as ParensNode))
  return selectAll(from, own, operations)
}

const unionName = /* @__PURE__ */ (() => IdentifierNode.create('phs'))()
const allColumns = /* @__PURE__ */ (() => [SelectionNode.createSelectAll()])()

function unionAll(expression: OperationNode): SetOperationNode {
  return { kind: 'SetOperationNode', operator: 'union', expression, all: true }
}

export function selectAll(
  from: OperationNode,
  expressions?: WithNode,
  setOperations?: SetOperationNode[],
): SelectQueryNode {
  return {
    kind: 'SelectQueryNode',
    with: expressions,
    from: { kind: 'FromNode', froms: [from] },
    selections: allColumns,
    setOperations,
  } as SelectQueryNode
}

/** PostgreSQL reads the branches one after another, and each only for the rows that are still missing. */
function unionWithRemainingLimit(branches: readonly SelectQueryNode[], limit: number): SelectQueryNode {
  let remaining: OperationNode = parameter(limit)
  const named = branches.map(({ with: _hoisted, ...branch }, at) => {
    const rows = at === 0 ? raw`${branch}` : raw`(select * from ${branch} as phs limit greatest(0, ${remaining}))`
    remaining = raw`${remaining} - (select count(*) from ${tableNode(`posthastes${at}`)})`
    return commonTable(`posthastes${at}`, rows)
  })
  const own = branches[0]?.with
  const expressions = [...(own?.expressions ?? []), ...named]
  const all = branches.map((_branch, at) => raw`select * from ${tableNode(`posthastes${at}`)}`)
  return selectAll(raw`(${joined(all, ' union all ')}) as phs`, { kind: 'WithNode', ...own, expressions })
}
