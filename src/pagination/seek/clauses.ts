import {
  AggregateFunctionNode,
  AliasNode,
  CollateNode,
  ColumnNode,
  FunctionNode,
  IdentifierNode,
  type OperationNode,
  type OrderByItemNode,
  RawNode,
  ReferenceNode,
  type SelectionNode,
  type SelectQueryNode,
  TableNode,
  TupleNode,
  ValueNode,
} from 'kysely'
import { someNode } from '../../shared/sql/query-tree.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { QueryUnsupportedError } from '../errors.ts'
import {
  columnName,
  columnText,
  nodeKey,
  quoted,
  raw,
  rawText,
  selectedNode,
  selectionName,
  sqlText,
  unwrap,
} from './sql-nodes.ts'

// Pages are made by adding conditions on the keys to a query, so each clause must be understood, or be refused here.

/** @throws QueryUnsupportedError for a limit, an order or a position that a page could not respect */
export function refuseRawClauses({ endModifiers, frontModifiers, limit, offset, fetch, top }: SelectQueryNode): void {
  if (limit ?? offset ?? fetch ?? top) {
    throw new QueryUnsupportedError('The query has a limit or an offset: leave them out, because the page sets its own')
  }
  const clause = endModifiers?.map(({ rawModifier }) => endClause(rawModifier)).find((word) => word !== undefined)
  if (clause !== undefined) {
    throw new QueryUnsupportedError(`The query ends in raw SQL with \`${clause}\`: a page sets its own limit and order`)
  }
  for (const { rawModifier } of frontModifiers ?? []) {
    const [word] = /\btop\b|\bdistinct\s+on\b/i.exec(codeOf(rawModifier)) ?? []
    if (word !== undefined) {
      throw new QueryUnsupportedError(
        `The query begins with raw \`${word.toLowerCase()}\`: use the builder's own method for it`,
      )
    }
  }
}

/** The keyword in raw SQL at a query's end that changes which rows the query returns. */
export function endClause(modifier: OperationNode | undefined): string | undefined {
  return /\b(limit|offset|fetch|union|intersect|except|order|group|having|window)\b/i
    .exec(codeOf(modifier))?.[1]
    ?.toLowerCase()
}

/** Whether a condition that is added to the query would change its rows, instead of choosing among them. */
export function isGrouped(node: SelectQueryNode): boolean {
  return isAggregated(node) || selectsSome(node, isWindowFunction)
}

/** Whether the query makes its rows out of several rows of its tables. */
export function isAggregated(node: SelectQueryNode): boolean {
  return (
    node.groupBy !== undefined ||
    node.having !== undefined ||
    node.setOperations !== undefined ||
    isDistinct(node) ||
    selectsSome(node, (part) => returnsSet(part) || (AggregateFunctionNode.is(part) && part.over === undefined))
  )
}

/**
 * The key of `orderBy`. If it is a number, the column at that place of the result.
 *
 * @throws QueryUnsupportedError when the query does not show which column stands there
 */
export function resolvePosition(
  { orderBy }: OrderByItemNode,
  { selections = [], setOperations }: SelectQueryNode,
  dialect: SqlDialect,
): OperationNode {
  const { place, collation } = columnOrPlace(orderBy, dialect) ?? {}
  if (place === undefined) return orderBy
  const names = selections.map((selection) => selectionName(selection))
  const name = names[place - 1]
  if (name === undefined || names.slice(0, place).includes(undefined)) {
    throw new QueryUnsupportedError(`\`orderBy\` names column ${place} of the result by its place: name it by its name`)
  }
  // In a union, a name that the first query selects twice may mean two columns in another query.
  const isAmbiguous = setOperations === undefined && names.filter((other) => other === name).length > 1
  if (!isAmbiguous) return withCollation(ReferenceNode.create(ColumnNode.create(name)), collation)
  return withCollation(selectedNode(selections[place - 1] as SelectionNode), collation)
}

function withCollation(node: OperationNode, collation: OperationNode | undefined): OperationNode {
  return collation === undefined ? node : raw`(${node}) ${collation}`
}

/** Whether the key has the same value in every row, so that it orders nothing. */
export function isConstant(key: OperationNode): boolean {
  if (ValueNode.is(key)) return true
  if (!RawNode.is(key)) return false
  const { sqlFragments, parameters } = key
  if (parameters.length > 0)
    return /^[\s()]*$/.test(sqlFragments.join('')) && parameters.every((node) => isConstant(node))
  const literal = /^\s*\(*\s*(?:'(?:[^']|'')*'|[-+]?\d+(?:\.\d+)?|null|true|false)\s*\)*\s*(?:::\s*[\w ]+)?\s*$/i
  return literal.test(sqlFragments.join(''))
}

/** @throws QueryUnsupportedError for a key of several values, or one whose value changes from one statement to the next */
export function refuseKey(key: OperationNode): void {
  if (TupleNode.is(key) || /^\s*row\s*\(/i.test(codeOf(key)) || hasTopLevelComma(key)) {
    throw new QueryUnsupportedError('A key consists of several values: give each as a key of its own')
  }
  const isVolatile = someNode(key, (node) => volatileCall.test(callText(node as OperationNode)))
  if (isVolatile) {
    throw new QueryUnsupportedError('A key has another value in each statement: page by stored values')
  }
  // A text such as `'localtime'` or `'$.current_time'` is a modifier of SQLite or a path of JSON. Only `'now'` is a time.
  const text = withoutComments(wholeText(key), (quoted) => (/^'now'$/i.test(quoted) ? quoted : "''"))
  if (currentTime.test(text) && !/[<>=]|\bbetween\b/i.test(text)) {
    throw new QueryUnsupportedError(
      'A key is computed from the current time: page by the stored time, in the other direction',
    )
  }
}

const volatileCall =
  /\b(?:random|rand|random_normal|gen_random_uuid|uuidv?[147]?|uuid_short|uuid_generate_v\w+|newid|newsequentialid|randomblob|clock_timestamp|timeofday|nextval|sysdate|setval|txid_current)\s*\(/i
const currentTime =
  /\b(?:now|transaction_timestamp|statement_timestamp|getdate|getutcdate|sysdatetime|curdate|curtime|utc_timestamp|utc_date)\s*\(|\b(?:unix_timestamp|unixepoch|julianday|datetime)\s*\(\s*\)|\bcurrent_(?:timestamp|date|time)\b|\blocaltime(?:stamp)?\b|\bage\s*\([^,()]*\)|'now'/i

function callText(node: OperationNode): string {
  return FunctionNode.is(node) ? `${node.func}(` : codeOf(node)
}

/** The raw SQL and the names of functions in an expression, in any order. */
function wholeText(key: OperationNode): string {
  let text = ''
  someNode(key, (node) => {
    if (node.kind === 'RawNode') text += ` ${(node as unknown as RawNode).sqlFragments.join(' ? ')}`
    if (node.kind === 'FunctionNode') text += ` ${(node as unknown as FunctionNode).func}(`
    if (node.kind === 'OperatorNode') text += ` ${String(node.operator)}`
    return false
  })
  return text
}

function hasTopLevelComma(key: OperationNode): boolean {
  let depth = 0
  for (const letter of codeOf(key)) {
    if (letter === '(' || letter === '[') depth++
    if (letter === ')' || letter === ']') depth--
    if (letter === ',' && depth === 0) return true
  }
  return false
}

/** Raw SQL without its comments, and with `''` in place of each text and each quoted name; empty for any other expression. */
export function codeOf(node: OperationNode | undefined): string {
  if (node === undefined || !RawNode.is(node)) return ''
  return withoutComments(rawText(node), () => "''")
}

export function isDistinct({ distinctOn, frontModifiers }: SelectQueryNode): boolean {
  return (
    distinctOn !== undefined ||
    (frontModifiers?.some(
      ({ modifier, rawModifier }) => modifier === 'Distinct' || /\bdistinct\b/i.test(codeOf(rawModifier)),
    ) ??
      false)
  )
}

/**
 * Whether the condition may name a column of the result by its alias, as it can on SQLite only. A text of the condition
 * may be such a name too.
 */
export function filtersByAlias({ selections = [], where }: SelectQueryNode, dialect: SqlDialect): boolean {
  if (dialect !== 'sqlite' || where === undefined) return false
  const condition = nodeKey(where).toLowerCase()
  return selections.some((one) => {
    const name = AliasNode.is(one.selection) ? selectionName(one) : undefined
    return name !== undefined && condition.includes(name.toLowerCase())
  })
}

function selectsSome({ selections = [] }: SelectQueryNode, fits: (part: OperationNode) => boolean): boolean {
  for (const { selection } of selections) {
    if (AliasNode.is(selection) && someNode(selection.node, (part) => fits(part as OperationNode))) return true
  }
  return false
}

export function isWindowFunction(node: OperationNode): boolean {
  if (AggregateFunctionNode.is(node)) return node.over !== undefined
  return /\bover(?:\s*[('[]|\s+[\w?])/i.test(codeOf(node))
}

/** Whether the expression may return several rows for one, as PostgreSQL's set-returning functions do. */
export function returnsSet(node: OperationNode): boolean {
  return setReturning.test(callText(node))
}

const setReturning =
  /\b(?:unnest|generate_series|generate_subscripts|jsonb?_array_elements(?:_text)?|jsonb?_each(?:_text)?|jsonb?_object_keys|jsonb?_populate_recordset|jsonb?_to_recordset|jsonb_path_query|regexp_split_to_table|regexp_matches|string_to_table)\s*\(/i

/**
 * The selection of this name; `undefined` if the query does not show it.
 *
 * @throws QueryUnsupportedError when it selects several columns of the name
 */
export function selectionOf(
  name: string,
  { selections = [] }: SelectQueryNode,
  ignoresCase = false,
): SelectionNode | undefined {
  const isNamed = (other: string | undefined) =>
    other === name || (ignoresCase && other?.toLowerCase() === name.toLowerCase())
  let found: SelectionNode | undefined
  for (const selection of selections) {
    if (!isNamed(selectionName(selection))) continue
    if (found !== undefined) {
      throw new QueryUnsupportedError(
        `The query selects several columns named \`${name}\`: give the others another alias`,
      )
    }
    found = selection
  }
  return found
}

/**
 * The expression behind a selected name, because an order looks for selected names first. Any other key stays as it is.
 *
 * @throws QueryUnsupportedError when it selects several columns of the name
 */
export function resolveAlias(key: OperationNode, query: SelectQueryNode, dialect: SqlDialect): OperationNode {
  const { column, collation } = columnOrPlace(key, dialect) ?? {}
  // Before a collation, only SQLite looks for an alias.
  if (column === undefined || column.table !== undefined || (collation && dialect !== 'sqlite')) return key
  const name = columnName(column) as string
  const selected = selectionOf(name, query, dialect !== 'postgres')
  if (selected === undefined) return key
  const node = selectedNode(selected)
  if (collation === undefined && ReferenceNode.is(node) && node.table === undefined && columnName(node) === name)
    return column
  return withCollation(node, collation)
}

/** A key that is the name of a column, or a number, which databases take for the place of a column in the result. */
interface ColumnOrPlace {
  readonly column?: ReferenceNode
  readonly place?: number
  /** The collations behind the name or number. */
  readonly collation?: OperationNode | undefined
}

/**
 * Reads a key as the database does: parentheses, comments and quotes around a name change nothing.
 *
 * @returns `undefined` for a key that is more than a name or a number
 */
export function columnOrPlace(given: OperationNode, dialect: SqlDialect): ColumnOrPlace | undefined {
  const key = unwrap(given)
  if (ReferenceNode.is(key)) return { column: key }
  const text = textOf(key, dialect)
  const match = text === undefined ? null : termAlone.exec(withoutComments(text))
  if (match === null) return undefined
  const [, before = '', qualifier, name = '', number, behind = ''] = match
  const collate = behind.replaceAll(')', ' ').trim()
  const collation = collate === '' ? undefined : sqlText(collate)
  const isSigned = before.includes('+')
  if (number !== undefined) {
    // To PostgreSQL `+2` is an expression; to MySQL `0x2` is a text.
    const isPlace = dialect === 'mysql' ? !/x/i.test(number) : dialect === 'sqlite' || !isSigned
    return isPlace ? { place: Number(number), collation } : undefined
  }
  // Only MySQL reads `+name` as `name`. Only there, double quotes enclose a text instead of a name.
  if (dialect === 'mysql' ? name.startsWith('"') : isSigned) return undefined
  const column = { kind: 'ColumnNode', column: IdentifierNode.create(nameIn(name, dialect)) } as const
  const table = qualifier === undefined ? undefined : TableNode.create(nameIn(qualifier, dialect))
  return { column: ReferenceNode.create(column, table), collation }
}

/**
 * The text of an expression whose parts are raw SQL, names and integers. Names get backticks, because raw SQL has
 * backticks only around names.
 */
function textOf(given: OperationNode, dialect: SqlDialect): string | undefined {
  const node = unwrap(given)
  if (IdentifierNode.is(node)) return quoted(node.name, '`')
  if (ReferenceNode.is(node)) return columnName(node) === undefined ? undefined : columnText(node, '`')
  if (CollateNode.is(node)) return `collate ${quoted(node.collation.name, '`')}`
  if (ValueNode.is(node)) {
    // Drivers of MySQL write parameters into the text of the statement.
    const isWritten = node.immediate || dialect === 'mysql'
    return isWritten && Number.isInteger(node.value) ? String(node.value) : undefined
  }
  if (!RawNode.is(node)) return undefined
  let text = node.sqlFragments[0] as string
  for (const [at, parameter] of node.parameters.entries()) {
    const inner = textOf(parameter, dialect)
    if (inner === undefined) return undefined
    text += inner + node.sqlFragments[at + 1]
  }
  return text
}

const termAlone = /* @__PURE__ */ (() => {
  const name = '`(?:[^`]|``)+`|"(?:[^"]|"")+"|\\[[^\\]]+\\]|[\\p{L}_][\\p{L}\\p{N}_$]*'
  const column = `(?:(?:${name})\\s*\\.\\s*)??(?:(${name})\\s*\\.\\s*)?(${name})`
  return new RegExp(`^([\\s(+]*)(?:${column}|(\\d+|0x[\\da-f]+))((?:[\\s)]|collate\\s+(?:${name}))*)$`, 'iu')
})()

/** @param replace - given each text and each quoted name, what stands there instead */
export function withoutComments(sql: string, replace: (quoted: string) => string = (quoted) => quoted): string {
  return sql.replaceAll(
    /(`(?:[^`]|``)*`|"(?:[^"]|"")*"|'(?:[^']|'')*')|--(?=\s|$)[^\n]*|\/\*(?!!).*?\*\//gs,
    (_part, quoted?: string) => (quoted === undefined ? ' ' : replace(quoted)),
  )
}

/** The name without its quotes, as the database folds it. */
function nameIn(text: string, dialect: SqlDialect): string {
  const quote = text.charAt(0)
  if (quote === '[') return text.slice(1, -1)
  if (quote === '`' || quote === '"') return text.slice(1, -1).replaceAll(quote + quote, quote)
  return dialect === 'postgres' ? text.toLowerCase() : text
}
