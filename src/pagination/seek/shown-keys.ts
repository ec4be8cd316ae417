import {
  AliasNode,
  IdentifierNode,
  type OperationNode,
  ReferenceNode,
  SelectionNode,
  type SelectQueryNode,
} from 'kysely'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { isSame, type Position } from '../key-text/key-text.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { type ShownText, shownTexts } from '../key-text/shown-texts.ts'
import { orderBy, orderTerms } from './order-by.ts'
import type { Row } from './query-runner.ts'
import type { OrderKey, ResolvedQuery } from './sort-keys.ts'
import { columnName, nodeKey, selectedNode, selectionName } from './sql-nodes.ts'
import { seekStatement } from './statements.ts'

/**
 * The keys of an order as its rows show them to the user. Such rows need no hidden columns, and are handed on as the
 * driver made them. That saves time: writing the keys and copying the rows takes as long as reading them.
 */
export class ShownKeys {
  readonly #resolved: ResolvedQuery
  readonly #dialect: SqlDialect
  readonly #text: ShownText
  /** The names of the keys in the statement. */
  readonly #columns: readonly string[]
  /** The names of the keys in the rows. A plugin may have changed them. */
  readonly #names: readonly string[]

  private constructor(
    resolved: ResolvedQuery,
    dialect: SqlDialect,
    text: ShownText,
    columns: readonly string[],
    names: readonly string[],
  ) {
    this.#resolved = resolved
    this.#dialect = dialect
    this.#text = text
    this.#columns = columns
    this.#names = names
  }

  /**
   * Finds the columns that show the keys.
   *
   * @param rows - with hidden columns, which prove that the values shown are the keys
   * @returns `undefined` when a key is not shown, or not exactly as the database has it
   */
  static find(resolved: ResolvedQuery, rows: readonly Row[], dialect: SqlDialect): ShownKeys | undefined {
    const { node, keys, isGrouped } = resolved
    const [first] = rows
    // Some drivers make rows without a prototype. The first chunk has turned them into plain objects, so later chunks
    // must too.
    if (isGrouped || first === undefined || Object.getPrototypeOf(first) !== Object.prototype) return undefined
    const text = shownTexts[dialect]
    if (text === undefined || needsHiddenColumns(keys, dialect)) return undefined
    const columns = keys.map((key) => shownColumn(key.node, node)).filter((name) => name !== undefined)
    const names = columns.map((column) => nameIn(first, column)).filter((name) => name !== undefined)
    if (names.length < keys.length) return undefined
    const shown = new ShownKeys(resolved, dialect, text, columns, names)
    return rows.every((row) => shown.#isAt(row, keyTexts[dialect].positionOf(row, keys))) ? shown : undefined
  }

  /** Makes the statement that starts at a position, without our columns: these are the last selection of each query. */
  statementFrom(position: Position, limit: number): SelectQueryNode {
    const { node, keys } = this.#resolved
    const statement = seekStatement(this.#resolved, this.#dialect, limit, position, true)
    const query = withoutLastSelection(statement)
    if (query.setOperations === undefined) return query
    const setOperations = query.setOperations.map((operation) => {
      return { ...operation, expression: withoutLastSelection(operation.expression as SelectQueryNode) }
    })
    // A union is ordered by columns of the query.
    const terms = orderTerms(
      keys,
      this.#dialect,
      this.#columns.map((name) => IdentifierNode.create(name)),
    )
    const selections = node.selections?.map(underOwnName)
    return { ...query, selections, setOperations, orderBy: orderBy(terms) } as SelectQueryNode
  }

  /**
   * Whether rows without hidden columns need no further proof: they begin at the position, each of their keys has a text, and
   * neighbours differ.
   */
  areBeyondDoubt(rows: readonly Row[], position: Position): boolean {
    const { keys } = this.#resolved
    if (rows[0] === undefined || !this.#isAt(rows[0], position) || this.#haveTwins(rows)) return false
    return keys.every((key, at) => {
      const [name, like] = [this.#names[at] as string, position[at] ?? null]
      return rows.every((row) => this.#isText(row[name], key, like))
    })
  }

  /** The values of the keys in a row. */
  valuesOf(row: Row | undefined): unknown[] {
    return this.#names.map((name) => row?.[name])
  }

  /** @param like - the position of another row */
  positionOf(values: readonly unknown[], like: Position): Position {
    return values.map((value, at) => (value === null ? null : this.#text.write(value, like[at] as string)))
  }

  #isAt(row: Row, position: Position): boolean {
    const values = this.valuesOf(row)
    const { keys } = this.#resolved
    return (
      keys.every((key, at) => this.#isText(values[at], key, position[at] ?? null)) &&
      isSame(this.positionOf(values, position), position)
    )
  }

  #isText(value: unknown, key: OrderKey, like: string | null): boolean {
    return value === null ? key.isNullable : this.#text.canWrite(value, key, like)
  }

  /** Whether neighbours have the same keys. */
  #haveTwins(rows: readonly Row[]): boolean {
    const names = this.#names
    const name = names.at(-1) as string
    let before: unknown = rows
    for (let at = 0; at < rows.length; at++) {
      const value = rows[at]?.[name]
      if (value === before && names.every((other) => rows[at]?.[other] === rows[at - 1]?.[other])) return true
      before = value
    }
    return false
  }
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
