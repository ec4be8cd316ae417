import {
  AliasNode,
  CollateNode,
  ColumnNode,
  FunctionNode,
  type OperationNode,
  type OrderByItemNode,
  RawNode,
  ReferenceNode,
  type SelectionNode,
  type SelectQueryNode,
  TupleNode,
  ValueNode,
} from 'kysely'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { someNode } from '../../shared/sql/query-tree.ts'
import { QueryUnsupportedError } from '../errors.ts'
import { columnName, raw, selectionName, sqlText } from './sql-nodes.ts'

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
    const [word] = /\btop\b|\bdistinct\s+on\b/i.exec(rawTextOf(rawModifier)) ?? []
    if (word !== undefined) {
      throw new QueryUnsupportedError(
        `The query begins with raw \`${word.toLowerCase()}\`: use the builder's own method for it`,
      )
    }
  }
}

/** The word of raw SQL at a query's end that changes which rows it returns. */
export function endClause(modifier: OperationNode | undefined): string | undefined {
  return /\b(limit|offset|fetch|union|intersect|except|order|group|having|window)\b/i
    .exec(rawTextOf(modifier))?.[1]
    ?.toLowerCase()
}

/** Whether raw SQL in front of the columns makes the rows distinct. */
export function isRawDistinct(modifier: OperationNode | undefined): boolean {
  return /\bdistinct\b/i.test(rawTextOf(modifier))
}

/**
 * The expression behind a number in `orderBy`, which means the column of the result at this place.
 *
 * @throws QueryUnsupportedError when the query does not say which column stands there
 */
export function resolvePosition(
  { orderBy }: OrderByItemNode,
  { selections = [], setOperations }: SelectQueryNode,
): OperationNode {
  const place = positionIn(orderBy)
  if (place === undefined) return orderBy
  const before = selections.slice(0, place)
  const selection = before.at(-1)?.selection
  if (before.length < place || selection === undefined || before.some((one) => selectionName(one) === undefined)) {
    throw new QueryUnsupportedError(`\`orderBy\` names column ${place} of the result by its place: name it by its name`)
  }
  // What the first query of a union selects twice may be two columns in another.
  const name = setOperations && selectionName(before.at(-1) as SelectionNode)
  if (name !== undefined) return ReferenceNode.create(ColumnNode.create(name))
  return AliasNode.is(selection) ? selection.node : selection
}

function positionIn(node: OperationNode): number | undefined {
  if (ValueNode.is(node)) return node.immediate && Number.isInteger(node.value) ? (node.value as number) : undefined
  if (!RawNode.is(node)) return undefined
  const [only] = node.parameters
  if (only !== undefined) return node.sqlFragments.join('').trim() === '' ? positionIn(only) : undefined
  const text = rawTextOf(node).trim()
  return /^\d{1,4}$/.test(text) ? Number(text) : undefined
}

/** Whether the key has the same value in every row, so that it orders nothing. */
export function isConstant(key: OperationNode): boolean {
  if (ValueNode.is(key)) return true
  if (!RawNode.is(key)) return false
  const { sqlFragments, parameters } = key
  if (parameters.length > 0) return sqlFragments.join('').trim() === '' && parameters.every((node) => isConstant(node))
  const literal = /^\s*\(*\s*(?:'(?:[^']|'')*'|[-+]?\d+(?:\.\d+)?|null|true|false)\s*\)*\s*(?:::\s*[\w ]+)?\s*$/i
  return literal.test(sqlFragments.join(''))
}

/** @throws QueryUnsupportedError for a key that has no place in an order from one statement to the next */
export function refuseKey(key: OperationNode): void {
  if (TupleNode.is(key) || (RawNode.is(key) && (/^\s*row\s*\(/i.test(rawTextOf(key)) || hasTopLevelComma(key)))) {
    throw new QueryUnsupportedError('A key consists of several values: give each as a key of its own')
  }
  const isVolatile = someNode(key, (node) => volatileCall.test(callText(node as OperationNode)))
  if (isVolatile) {
    throw new QueryUnsupportedError('A key has another value in each statement: page by stored values')
  }
  const text = wholeText(key)
  if (currentTime.test(text) && !/[<>=]|\bbetween\b/i.test(text)) {
    throw new QueryUnsupportedError(
      'A key is computed from the current time: page by the stored time, in the other direction',
    )
  }
}

const volatileCall =
  /\b(?:random|rand|random_normal|gen_random_uuid|uuidv?[147]?|uuid_short|uuid_generate_v\w+|newid|newsequentialid|randomblob|clock_timestamp|timeofday|nextval|sysdate|setval|txid_current)\s*\(/i
const currentTime =
  /\b(?:now|transaction_timestamp|statement_timestamp|getdate|getutcdate|sysdatetime|curdate|curtime|utc_timestamp|utc_date)\s*\(|\bunix_timestamp\s*\(\s*\)|\bcurrent_(?:timestamp|date|time)\b|\blocaltime(?:stamp)?\b|\bage\s*\([^,()]*\)|'now'/i

function callText(node: OperationNode): string {
  if (FunctionNode.is(node)) return `${node.func}(`
  return RawNode.is(node) ? withoutQuotes(node.sqlFragments.join(' ? ')) : ''
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

function hasTopLevelComma({ sqlFragments }: RawNode): boolean {
  let depth = 0
  for (const letter of withoutQuotes(sqlFragments.join('?'))) {
    if (letter === '(' || letter === '[') depth++
    if (letter === ')' || letter === ']') depth--
    if (letter === ',' && depth === 0) return true
  }
  return false
}

function withoutQuotes(text: string): string {
  return text.replaceAll(/'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`/g, "''")
}

function rawTextOf(node: OperationNode | undefined): string {
  return node !== undefined && RawNode.is(node) ? withoutQuotes(node.sqlFragments.join(' ')) : ''
}

/** Whether the expression may return several rows for one, as PostgreSQL's set-returning functions do. */
export function returnsSet(node: OperationNode): boolean {
  return setReturning.test(callText(node))
}

const setReturning =
  /\b(?:unnest|generate_series|generate_subscripts|jsonb?_array_elements(?:_text)?|jsonb?_each(?:_text)?|jsonb?_object_keys|jsonb?_populate_recordset|jsonb?_to_recordset|jsonb_path_query|regexp_split_to_table|regexp_matches|string_to_table)\s*\(/i

/**
 * What the query selects under the name, if it says so.
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
 * The expression behind a name that the query selects, which databases look for first in an order; any other key unchanged.
 *
 * @throws QueryUnsupportedError when it selects several columns of the name
 */
export function resolveAlias(key: OperationNode, query: SelectQueryNode, dialect: SqlDialect): OperationNode {
  const [name, collation] = unqualifiedName(key, dialect)
  const selected = name === undefined ? undefined : selectionOf(name, query, dialect !== 'postgres')?.selection
  if (selected === undefined) return key
  const node = AliasNode.is(selected) ? selected.node : selected
  if (ReferenceNode.is(node) && node.table === undefined && columnName(node) === name) return key
  return collation === undefined ? node : raw`(${node}) ${collation}`
}

const bareName = /^[\s(]*(["`]?)([\w$]*)\1(?:\s+(collate\s+\w+))?[\s)]*$/i

/** The name of a column without its table, also in raw SQL; on SQLite, also in front of a collation. */
function unqualifiedName(
  key: OperationNode,
  dialect: SqlDialect,
): [name?: string, collation?: OperationNode | undefined] {
  if (ReferenceNode.is(key)) return key.table === undefined ? [columnName(key) as string] : []
  const match = RawNode.is(key) && bareName.exec(key.sqlFragments.join(''))
  if (!match) return []
  const [, quote, word = '', collate] = match
  const [column, ...others] = key.parameters
  const [collation] = collate === undefined ? others : [sqlText(collate)]
  if (collation !== undefined && (dialect !== 'sqlite' || !others.every(CollateNode.is))) return []
  if (column !== undefined) return word === '' ? [unqualifiedName(column, dialect)[0] as string, collation] : []
  return [quote === '' && dialect === 'postgres' ? word.toLowerCase() : word, collation]
}
