import {
  AliasNode,
  IdentifierNode,
  type OperationNode,
  ReferenceNode,
  SelectionNode,
  type SelectQueryNode,
} from 'kysely'
import { isSame, type Position, textsIn } from '../key-text/key-text.ts'
import { hasShownText, shownText } from '../key-text/sqlite.ts'
import { orderBy, orderTerms } from './order-by.ts'
import type { Row } from './query-runner.ts'
import type { OrderKey, ResolvedQuery } from './sort-keys.ts'
import { columnName, nodeKey, selectionName } from './sql-nodes.ts'

// Rows without hidden columns are handed on as the driver made them. To copy each row takes as long as SQLite needs to read it.

/** The columns of a query that are its keys. */
export interface ShownKeys {
  /** Their names in the statement. */
  readonly columns: readonly string[]
  /** Their names in the rows, which a plugin may have changed. */
  readonly names: readonly string[]
}

/**
 * Finds the columns that show the keys to the user.
 *
 * @param rows - with hidden columns, which prove that what the rows show are the keys
 * @returns `undefined` when a key is not shown, or not as the database has it
 */
export function findShownKeys({ node, keys, isGrouped }: ResolvedQuery, rows: readonly Row[]): ShownKeys | undefined {
  const [first] = rows
  // A reader must not give rows of another kind from the second chunk on: some drivers make rows without a prototype.
  if (isGrouped || first === undefined || Object.getPrototypeOf(first) !== Object.prototype) return undefined
  // A hidden column tells whether a union has values of other types.
  if (keys[0]?.typesInUnion === 'one') return undefined
  const columns = keys.map((key) => shownColumn(key.node, node)).filter((name) => name !== undefined)
  const names = columns.map((column) => nameIn(first, column)).filter((name) => name !== undefined)
  if (names.length < keys.length) return undefined
  const isShown = rows.every((row) => {
    const position = shownPosition(row, names)
    return position !== undefined && isSame(position, textsIn(row, keys))
  })
  return isShown ? { columns, names } : undefined
}

/** The statement of a page without our columns, which are the last selection. A union is ordered by columns of the query. */
export function withoutHiddenColumns(
  statement: SelectQueryNode,
  { node, keys }: ResolvedQuery,
  columns: readonly string[],
): SelectQueryNode {
  const query = withoutLastSelection(statement)
  if (query.setOperations === undefined) return query
  const setOperations = query.setOperations.map((operation) => {
    return { ...operation, expression: withoutLastSelection(operation.expression as SelectQueryNode) }
  })
  const names = columns.map((name) => IdentifierNode.create(name))
  const selections = node.selections?.map(underOwnName)
  return { ...query, selections, setOperations, orderBy: orderBy(orderTerms(keys, 'sqlite', names)) } as SelectQueryNode
}

function withoutLastSelection(query: SelectQueryNode): SelectQueryNode {
  return { ...query, selections: query.selections?.slice(0, -1) } as SelectQueryNode
}

/** Another table may have a column of the name. SQLite orders a union by an alias, but not by a column that is one of several. */
function underOwnName(selection: SelectionNode): SelectionNode {
  const { selection: column } = selection
  const name = ReferenceNode.is(column) ? columnName(column) : undefined
  return name === undefined ? selection : SelectionNode.create(AliasNode.create(column, IdentifierNode.create(name)))
}

/** The position of a row by what it shows; `undefined` when a value may not be the database's. */
export function shownPosition(row: Row, names: readonly string[]): Position | undefined {
  const position = names.map((name) => shownText(row[name]))
  return position.includes(undefined) ? undefined : (position as Position)
}

/**
 * Whether rows without hidden columns need no further proof: they begin at the position, each of their keys has a text, and
 * neighbours differ.
 */
export function areBeyondDoubt(
  rows: readonly Row[],
  names: readonly string[],
  keys: readonly OrderKey[],
  position: Position,
): boolean {
  const start = rows[0] && shownPosition(rows[0], names)
  if (start === undefined || !isSame(start, position) || hasTwins(rows, names)) return false
  return keys.every((key, at) => haveTexts(rows, names[at] as string, key.isNullable))
}

function haveTexts(rows: readonly Row[], name: string, isNullable: boolean): boolean {
  for (const row of rows) if (!(row[name] === null ? isNullable : hasShownText(row[name]))) return false
  return true
}

/** Whether neighbours have the same keys. */
function hasTwins(rows: readonly Row[], names: readonly string[]): boolean {
  const name = names.at(-1) as string
  let before: unknown = rows
  for (let at = 0; at < rows.length; at++) {
    const value = rows[at]?.[name]
    if (value === before && names.every((other) => rows[at]?.[other] === rows[at - 1]?.[other])) return true
    before = value
  }
  return false
}

/** The name of the result's column that is this key. Of two columns with one name, a row shows only the last. */
function shownColumn(key: OperationNode, { selections = [], from, joins }: SelectQueryNode): string | undefined {
  if (!ReferenceNode.is(key)) return undefined
  const isOneTable = from?.froms.length === 1 && joins === undefined
  const isKey = ({ selection }: SelectionNode) => {
    const column = AliasNode.is(selection) ? selection.node : selection
    if (!ReferenceNode.is(column)) return isOneTable && column.kind === 'SelectAllNode'
    const name = columnName(column)
    return isOneTable ? name === undefined || name === columnName(key) : nodeKey(column) === nodeKey(key)
  }
  const nameOf = (selection: SelectionNode) => selectionName(selection) ?? columnName(key)
  const shown = selections.filter(isKey)
  const [only] = shown
  if (only === undefined || shown.length > 1) return undefined
  const name = nameOf(only)
  return selections.filter((selection) => nameOf(selection) === name).length === 1 ? name : undefined
}

/** The name in the row that stands for the column: plugins write `created_at` as `createdAt`. */
function nameIn(row: Row, column: string): string | undefined {
  if (column in row) return column
  const bare = (name: string) => name.replaceAll('_', '').toLowerCase()
  return Object.keys(row).find((name) => bare(name) === bare(column))
}
