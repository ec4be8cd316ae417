import {
  AliasNode,
  type ColumnNode,
  IdentifierNode,
  type OperationNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  type TableNode,
} from 'kysely'
import { columnOrPlace } from '../seek/clauses.ts'
import { columnName, selectedNode, selectionName } from '../seek/sql-nodes.ts'

export interface QualifiedName {
  readonly schema: string | undefined
  readonly name: string
}

/** What a `from` or a `join` names: a table or another query. For raw SQL, both are `undefined`. */
export interface Source {
  readonly name: string
  readonly table: QualifiedName | undefined
  readonly query: SelectQueryNode | undefined
  /** The expressions that the query can name. */
  readonly expressions: Expressions
}

/** Common table expressions by their names. */
export type Expressions = ReadonlyMap<string, Expression>

interface Expression {
  /** `undefined` if we cannot name its columns. */
  readonly query: SelectQueryNode | undefined
  /** The other expressions that it can name. */
  readonly expressions: Expressions
}

/** Whether the key is a column, and the query reads from tables alone. */
export function isColumnOfTables(key: OperationNode, query: SelectQueryNode): boolean {
  return columnOfKey(key) !== undefined && isOverTables(query)
}

/** Whether the query reads from tables alone, and from no other query. */
function isOverTables(query: SelectQueryNode): boolean {
  return sourcesOf(query, withExpressions(query, new Map())).every(({ table }) => table !== undefined)
}

/**
 * What a key is inside another query that the key's query reads from: a column of a table, or the result of an
 * expression.
 */
export type InnerKey = 'column' | 'result'

/** @returns `undefined` for a key of a query over tables alone */
export function innerKeyOf(key: OperationNode, query: SelectQueryNode): InnerKey | undefined {
  if (isOverTables(query)) return undefined
  return isInnerResult(key, query, new Map(), new Set()) ? 'result' : 'column'
}

/** @param seen - the queries that were looked into already: a recursive expression reads from itself */
function isInnerResult(
  key: OperationNode,
  query: SelectQueryNode,
  outer: Expressions,
  seen: Set<SelectQueryNode>,
): boolean {
  const column = columnOfKey(key)
  if (column === undefined) return true
  const name = columnName(column)
  const qualifier = column.table?.table.identifier.name
  const expressions = withExpressions(query, outer)
  return sourcesOf(query, expressions).some((source) => {
    const inner = source.query
    if (inner === undefined || seen.has(inner) || (qualifier !== undefined && source.name !== qualifier)) return false
    seen.add(inner)
    if (inner.setOperations !== undefined) return true
    const selected = inner.selections?.find((selection) => selectionName(selection) === name)
    const innerKey = selected === undefined ? ReferenceNode.create(column.column as ColumnNode) : selectedNode(selected)
    return isInnerResult(innerKey, inner, source.expressions, seen)
  })
}

/**
 * The common table expressions that the query can name.
 *
 * @param seeEachOther - whether an expression can also name those that follow it, as always on SQLite
 */
export function withExpressions(
  query: SelectQueryNode,
  outer: Expressions,
  seeEachOther: boolean | undefined = query.with?.recursive,
): Expressions {
  if (query.with === undefined) return outer
  const { expressions } = query.with
  let all = new Map(outer)
  for (const { name, expression } of expressions) {
    const named = SelectQueryNode.is(expression) ? withNames(expression, name.columns) : undefined
    const before = all
    all = seeEachOther ? all : new Map(all)
    all.set(name.table.table.identifier.name, { query: named, expressions: before })
  }
  return all
}

/** The query with other names for its columns; `undefined` when a `*` stands for some of them. */
function withNames(query: SelectQueryNode, names: readonly ColumnNode[] | undefined): SelectQueryNode | undefined {
  if (names === undefined) return query
  if (names.length !== query.selections?.length) return undefined
  const selections = query.selections.map((selection, at) =>
    SelectionNode.create(AliasNode.create(selectedNode(selection), (names[at] as ColumnNode).column)),
  )
  return { ...query, selections }
}

/** What the query reads from. */
export function sourcesOf(query: SelectQueryNode, expressions: Expressions): Source[] {
  const nodes = [...(query.from?.froms ?? []), ...(query.joins ?? []).map(({ table }) => table)]
  return nodes.map((node) => {
    const aliased = AliasNode.is(node) && IdentifierNode.is(node.alias) ? node.alias.name : undefined
    const inner = AliasNode.is(node) ? node.node : node
    if (SelectQueryNode.is(inner)) return { name: aliased ?? '', table: undefined, query: inner, expressions }
    if (inner.kind !== 'TableNode') return { name: aliased ?? '', table: undefined, query: undefined, expressions }
    const { schema, identifier } = (inner as TableNode).table
    const name = aliased ?? identifier.name
    const expression = schema === undefined ? expressions.get(identifier.name) : undefined
    // In `with t as (select … from t)`, the inner `t` is a table. Only a recursive expression, which is a union, names
    // itself.
    if (expression !== undefined && expression.query !== query) return { name, table: undefined, ...expression }
    return { name, table: { schema: schema?.name, name: identifier.name }, query: undefined, expressions }
  })
}

export function isRaw({ table, query }: Source): boolean {
  return (table ?? query) === undefined
}

/** The column, if the key is nothing but a column on MariaDB or MySQL. */
export function columnOfKey(key: OperationNode): ReferenceNode | undefined {
  const { column, collation } = columnOrPlace(key, 'mysql') ?? {}
  return collation === undefined ? column : undefined
}

export function selectsAll({ selection }: SelectionNode): boolean {
  return (
    selection.kind === 'SelectAllNode' || (ReferenceNode.is(selection) && selection.column.kind === 'SelectAllNode')
  )
}
