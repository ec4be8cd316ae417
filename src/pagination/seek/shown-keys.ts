import {
  AliasNode,
  IdentifierNode,
  type OperationNode,
  ReferenceNode,
  SelectionNode,
  type SelectQueryNode,
} from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { isSamePosition, type Position } from '../cursor.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { typeOf } from '../key-text/postgres.ts'
import { replacement } from '../key-text/sqlite.ts'
import { orderBy, orderTerms } from './order-by.ts'
import type { Row } from './query-runner.ts'
import { seekStatement } from './seek-statement.ts'
import type { OrderKey, ResolvedQuery } from './sort-keys.ts'
import { columnName, nodeKey, selectedNode, selectionName } from './sql-nodes.ts'

/**
 * The keys of an order as its rows show them to the user. Such rows need no hidden columns, and are handed on as the
 * driver made them. That saves time: writing the keys and copying the rows takes as long as reading them.
 */
export interface ShownKeys {
  /** Makes the statement that starts at a position, without our columns: these are the last selection of each query. */
  statementFrom(position: Position, limit: number): SelectQueryNode
  /**
   * Whether rows without hidden columns need no further proof: they begin at the position, each of their keys has a text, and
   * neighbours differ.
   */
  areBeyondDoubt(rows: readonly Row[], position: Position): boolean
  /** The values of the keys in a row. */
  valuesOf(row: Row | undefined): unknown[]
  /** @param like - the position of another row */
  positionOf(values: readonly unknown[], like: Position): Position
}

/**
 * Finds the columns that show the keys.
 *
 * @param rows - with hidden columns, which prove that the values shown are the keys
 * @returns `undefined` when a key is not shown, or not exactly as the database has it
 */
export function findShownKeys(
  resolved: ResolvedQuery,
  rows: readonly Row[],
  dialect: SqlDialect,
): ShownKeys | undefined {
  const { node, keys, isGrouped } = resolved
  const [first] = rows
  // Some drivers make rows without a prototype. The first chunk has turned them into plain objects, so later chunks
  // must too.
  if (isGrouped || first === undefined || Object.getPrototypeOf(first) !== Object.prototype) return undefined
  const texts = shownTexts[dialect]
  if (texts === undefined || needsHiddenColumns(keys, dialect)) return undefined
  const columns = keys.map((key) => shownColumn(key.node, node)).filter((name) => name !== undefined)
  // A plugin may have changed the names.
  const names = columns.map((column) => nameIn(first, column)).filter((name) => name !== undefined)
  if (names.length < keys.length) return undefined

  const isText = (value: unknown, key: OrderKey, like: string | null) =>
    value === null ? key.isNullable : texts.canWrite(value, key, like)
  const valuesOf = (row: Row | undefined) => names.map((name) => row?.[name])
  const positionOf = (values: readonly unknown[], like: Position) =>
    values.map((value, at) => (value === null ? null : texts.write(value, like[at] as string)))
  const isAt = (row: Row, position: Position) => {
    const values = valuesOf(row)
    return (
      keys.every((key, at) => isText(values[at], key, position[at] ?? null)) &&
      isSamePosition(positionOf(values, position), position)
    )
  }
  if (!rows.every((row) => isAt(row, keyTexts[dialect].positionOf(row, keys)))) return undefined

  return {
    valuesOf,
    positionOf,
    statementFrom: (position, limit) =>
      withoutOurColumns(seekStatement(resolved, dialect, limit, position, true), resolved, columns, dialect),
    areBeyondDoubt(rows, position) {
      if (rows[0] === undefined || !isAt(rows[0], position) || haveTwins(rows, names)) return false
      return keys.every((key, at) => {
        const [name, like] = [names[at] as string, position[at] ?? null]
        return rows.every((row) => isText(row[name], key, like))
      })
    },
  }
}

/** Makes the text of a key from the value that a row shows, if the value tells the whole text. */
interface ShownText {
  /** @param like - the text of the key in another row; `null` for NULL */
  canWrite(value: unknown, key: OrderKey, like: string | null): boolean
  write(value: unknown, like: string): string
}

const shownTexts: { readonly [Dialect in SqlDialect]?: ShownText } = {
  sqlite: {
    // A plugin may turn some texts into numbers, or some numbers into texts: the type must be that of `like`.
    canWrite: (value, _key, like) => {
      if (typeof value === 'string') return like?.startsWith('t') !== false && !value.includes(replacement)
      if (like?.startsWith('t')) return false
      return typeof value === 'number' ? Math.abs(value) <= Number.MAX_SAFE_INTEGER : typeof value === 'bigint'
    },
    write: (value) => (typeof value === 'string' ? `t${value}` : String(value)),
  },
  postgres: {
    canWrite: (value, _key, like) =>
      shownAs[typeOf(like ?? '')]?.includes(typeof value) === true &&
      (typeof value !== 'number' || Number.isSafeInteger(value)),
    write: (value, like) => `${typeOf(like)}:${value}`,
  },
  mysql: {
    // Strings are not accepted, though a driver may give them for a BIGINT: the column may have become a text since.
    canWrite: (value, { type, inner }) => type === 'integer' && inner === undefined && Number.isSafeInteger(value),
    write: (value) => `n${value}`,
  },
}

/** The types of JavaScript in which drivers give int8, int2, int4 and uuid, by their oids. */
const shownAs: { readonly [Type in string]?: readonly string[] } = {
  20: ['string', 'number', 'bigint'],
  21: ['number'],
  23: ['number'],
  2950: ['string'],
}

function withoutOurColumns(
  statement: SelectQueryNode,
  { node, keys }: ResolvedQuery,
  columns: readonly string[],
  dialect: SqlDialect,
): SelectQueryNode {
  const query = withoutLastSelection(statement)
  if (query.setOperations === undefined) return query
  const setOperations = query.setOperations.map((operation) => {
    return { ...operation, expression: withoutLastSelection(operation.expression as SelectQueryNode) }
  })
  // A union is ordered by columns of the query.
  const terms = orderTerms(
    keys,
    dialect,
    columns.map((name) => IdentifierNode.create(name)),
  )
  const selections = node.selections?.map(underOwnName)
  return { ...query, selections, setOperations, orderBy: orderBy(terms) } as SelectQueryNode
}

/** Whether neighbours have the same keys. */
function haveTwins(rows: readonly Row[], names: readonly string[]): boolean {
  const name = names.at(-1) as string
  let before: unknown = rows
  for (let at = 0; at < rows.length; at++) {
    const value = rows[at]?.[name]
    if (value === before && names.every((other) => rows[at]?.[other] === rows[at - 1]?.[other])) return true
    before = value
  }
  return false
}

/** Whether hidden columns tell more than the keys: unexpected NULLs, or values of other types in a union. */
function needsHiddenColumns(keys: readonly OrderKey[], dialect: SqlDialect): boolean {
  if (dialect === 'sqlite') return keys[0]?.typesInUnion === 'one'
  return keys.some((key) => !key.isUnique || key.isNullable || key.isDescending !== keys[0]?.isDescending)
}

function withoutLastSelection(query: SelectQueryNode): SelectQueryNode {
  return { ...query, selections: query.selections?.slice(0, -1) } as SelectQueryNode
}

/**
 * Gives a column its own name as an alias. If another table has a column of the name, SQLite orders a union only by an
 * alias.
 */
function underOwnName(selection: SelectionNode): SelectionNode {
  const { selection: column } = selection
  const name = ReferenceNode.is(column) ? columnName(column) : undefined
  return name === undefined ? selection : SelectionNode.create(AliasNode.create(column, IdentifierNode.create(name)))
}

/** The name of the result's column that is this key. Of two columns with one name, a row shows only the last. */
function shownColumn(key: OperationNode, { selections = [], from, joins }: SelectQueryNode): string | undefined {
  if (!ReferenceNode.is(key)) return undefined
  const isOneTable = from?.froms.length === 1 && joins === undefined
  const isKey = (selection: SelectionNode) => {
    const column = selectedNode(selection)
    if (!ReferenceNode.is(column)) return isOneTable && column.kind === 'SelectAllNode'
    const name = columnName(column)
    return isOneTable ? name === undefined || name === columnName(key) : nodeKey(column) === nodeKey(key)
  }
  const shown = selections.filter(isKey)
  const [only] = shown
  if (only === undefined || shown.length > 1) return undefined
  const name = selectionName(only) ?? columnName(key)
  // A `*` of another table may include a column of that name.
  const mayHaveName = (selection: SelectionNode) => (selectionName(selection) ?? name) === name
  return selections.filter(mayHaveName).length === 1 ? name : undefined
}

/** The name in the row that stands for the column: plugins write `created_at` as `createdAt`. */
function nameIn(row: Row, column: string): string | undefined {
  if (column in row) return column
  const bare = (name: string) => name.replaceAll('_', '').toLowerCase()
  const names = Object.keys(row).filter((name) => bare(name) === bare(column))
  return names.length === 1 ? names[0] : undefined
}
