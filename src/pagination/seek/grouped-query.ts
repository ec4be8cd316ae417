import {
  AliasNode,
  ColumnNode,
  IdentifierNode,
  type OperationNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
} from 'kysely'
import { QueryUnsupportedError } from '../errors.ts'
import { isDistinct, selectionOf } from './clauses.ts'
import { columnName, nodeKey, selectedNode, selectionName } from './sql-nodes.ts'

/** `select * from (<query>) as ph`, to which conditions and an order can be added. */
export function asTable(query: SelectQueryNode): SelectQueryNode {
  const { with: expressions, ...inner } = query
  const outer = SelectQueryNode.createFrom([AliasNode.create(inner, IdentifierNode.create('ph'))], expressions)
  return SelectQueryNode.cloneWithSelections(outer, [SelectionNode.createSelectAll()])
}

/**
 * A wrapped query must not have two columns of the same name, as `select *` from two tables may have. PostgreSQL accepts
 * the name unless it is a key, SQLite calls the second column `id:1`, and MariaDB, MySQL and SQL Server refuse it.
 *
 * @param failure - what the database answered
 * @throws QueryUnsupportedError when such a name is the cause
 */
export function refuseNameTwice(statement: OperationNode, row: object | undefined, failure?: unknown): void {
  if (!isTable(statement)) return
  const { code, errno, number } = Object(failure) as { code?: unknown; errno?: unknown; number?: unknown }
  const isRenamed = (name: string) => /:\d+$/.test(name) && name.slice(0, name.lastIndexOf(':')) in (row as object)
  if (code !== '42702' && errno !== 1060 && number !== 8156 && !Object.keys(row ?? {}).some(isRenamed)) return
  throw new QueryUnsupportedError(
    'The query selects several columns of the same name: name the columns of its tables, and give each an alias of its own',
    { cause: failure },
  )
}

function isTable(statement: OperationNode): boolean {
  const [from] = (SelectQueryNode.is(statement) && statement.from?.froms) || []
  return from !== undefined && AliasNode.is(from) && (from.alias as IdentifierNode).name === 'ph'
}

/**
 * Wraps a grouped query, so that its keys are columns of the result. A key that the query does not select is added to its
 * columns, which changes no row.
 *
 * @returns the wrapped query, and for each key its column
 * @throws QueryUnsupportedError when a distinct or combined query does not select a key: adding it would change the rows
 */
export function wrapGrouped(
  query: SelectQueryNode,
  keys: readonly OperationNode[],
): { table: SelectQueryNode; columns: ReferenceNode[] } {
  const added: SelectionNode[] = []
  const columns = keys.map((key) => {
    const name = selectedAs(key, query) ?? addColumn(key, query, added)
    selectionOf(name, query)
    return ReferenceNode.create(ColumnNode.create(name))
  })
  return { table: asTable({ ...query, selections: [...(query.selections ?? []), ...added] }), columns }
}

function selectedAs(key: OperationNode, { selections = [], setOperations }: SelectQueryNode): string | undefined {
  const isCombined = setOperations !== undefined
  const name = ReferenceNode.is(key) ? columnName(key) : undefined
  // A combined query has names of columns, but no tables any more.
  if (isCombined && name !== undefined && selections.some((entry) => selectionName(entry) === name)) return name
  const wanted = nodeKey(key)
  const selected = selections.find((entry) => nodeKey(selectedNode(entry)) === wanted)
  if (selected !== undefined) return selectionName(selected)
  if (!ReferenceNode.is(key)) return undefined
  const table = isCombined ? undefined : tableName(key)
  const isSelected = (entry: SelectionNode) => {
    const { selection } = entry
    if (selection.kind === 'SelectAllNode') return true
    const column = ReferenceNode.is(selection) ? selection : undefined
    if (column?.column.kind !== 'SelectAllNode' && selectionName(entry) !== name) return false
    // `t.id as id` is not the key `e.id`.
    return table === undefined || (column !== undefined && (tableName(column) ?? table) === table)
  }
  return selections.some(isSelected) ? name : undefined
}

function tableName({ table }: ReferenceNode): string | undefined {
  return table?.table.identifier.name
}

function addColumn(key: OperationNode, query: SelectQueryNode, added: SelectionNode[]): string {
  if (isDistinct(query) || query.setOperations !== undefined) {
    throw new QueryUnsupportedError('A key of a distinct or combined query must be one of the columns that it selects')
  }
  const name = `posthasteg${added.length}`
  added.push(SelectionNode.create(AliasNode.create(key, IdentifierNode.create(name))))
  return name
}
