import {
  AggregateFunctionNode,
  AliasNode,
  type ColumnNode,
  IdentifierNode,
  type OperationNode,
  ParensNode,
  RawNode,
  ReferenceNode,
  SelectionNode,
  SelectQueryNode,
  TableNode,
} from 'kysely'
import { someNode } from '../../shared/sql/query-tree.ts'
import { QueryUnsupportedError } from '../errors.ts'
import { columnName, selectionName } from '../seek/sql-nodes.ts'

/** How a key of this type is written as text and compared on MariaDB and MySQL. */
export type MysqlType =
  | 'integer'
  | 'number'
  | 'double'
  /** With the number of digits behind the point. */
  | `decimal:${number}`
  | 'plain'
  | 'timestamp'
  | 'string'
  | 'bytes'
  | 'set'
  | 'computed'
  /** An expression over instants, whose value depends on the time zone of the session. */
  | 'zoned'
  /** A column of raw SQL or an expression over it, of any type. A time may be an instant, and depend on that zone. */
  | 'unseen'
  /** An expression that only compares with text: UUIDs and addresses. */
  | 'opaque'
  | { readonly labels: readonly string[] }

/** A column as `information_schema` describes it. */
export interface MysqlColumn {
  readonly name: string
  readonly type: MysqlType
}

export interface MysqlTable {
  readonly schema: string | undefined
  readonly name: string
}

/** The types of columns that were looked up; `undefined` for a table that was not. */
export type ColumnsOf = (table: MysqlTable) => readonly MysqlColumn[] | undefined

/** A table whose columns must be looked up first. */
export class ColumnsMissing extends Error {
  readonly tables: readonly MysqlTable[]

  constructor(tables: readonly MysqlTable[]) {
    super('The columns of a table are not known yet')
    this.tables = tables
  }
}

/** @param type - as in `int(8) unsigned zerofill` */
export function mysqlTypeOf(type: string): MysqlType {
  const [name = ''] = /^[a-z0-9]+/i.exec(type) ?? []
  const family = families[name.toLowerCase()] ?? 'computed'
  if (family === 'enum') {
    const labels = [...type.matchAll(/'((?:[^']|'')*)'/g)].map(([, label = '']) => labelOf(label))
    return { labels }
  }
  if (family === 'decimal') return `decimal:${Number(/,\s*(\d+)/.exec(type)?.[1] ?? 0)}`
  return type.includes('zerofill') && family !== 'double' ? 'number' : family
}

/** The label that is written so in the type of a column. */
function labelOf(written: string): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', 0: '\0' }
  return written.replaceAll("''", "'").replaceAll(/\\(.)/g, (_, letter: string) => escapes[letter] ?? letter)
}

const families: Readonly<Record<string, Exclude<MysqlType, object> | 'decimal' | 'enum'>> = {
  tinyint: 'integer',
  smallint: 'integer',
  mediumint: 'integer',
  int: 'integer',
  bigint: 'integer',
  year: 'number',
  bit: 'number',
  decimal: 'decimal',
  float: 'double',
  double: 'double',
  uuid: 'plain',
  inet4: 'plain',
  inet6: 'plain',
  date: 'plain',
  datetime: 'plain',
  time: 'plain',
  timestamp: 'timestamp',
  enum: 'enum',
  set: 'set',
  char: 'string',
  varchar: 'string',
  tinytext: 'string',
  text: 'string',
  mediumtext: 'string',
  longtext: 'string',
  json: 'string',
  binary: 'bytes',
  varbinary: 'bytes',
  tinyblob: 'bytes',
  blob: 'bytes',
  mediumblob: 'bytes',
  longblob: 'bytes',
}

/** What a `from` or a `join` names: a table, or another query; neither for raw SQL. */
interface Source {
  readonly name: string
  readonly table: MysqlTable | undefined
  readonly query: SelectQueryNode | undefined
}

/**
 * The type of each key, found by its column: through derived tables and common table expressions too.
 *
 * @throws ColumnsMissing when a table of the query was not looked up yet
 * @throws QueryUnsupportedError for a key whose order and comparison differ, and that cannot be found in a column
 */
export function mysqlKeyTypes(
  keys: readonly OperationNode[],
  query: SelectQueryNode,
  columnsOf: ColumnsOf,
): MysqlType[] {
  const missing: MysqlTable[] = []
  const known: ColumnsOf = (table) => {
    const columns = columnsOf(table)
    if (columns === undefined) missing.push(table)
    return columns
  }
  const types = keys.map((key) => ofRows(query, typeOf(key, query, new Map(), known)))
  if (missing.length > 0) throw new ColumnsMissing(missing)
  return types
}

/** Undefined for a query whose columns we cannot name. */
type Expressions = ReadonlyMap<string, SelectQueryNode | undefined>

function typeOf(key: OperationNode, query: SelectQueryNode, outer: Expressions, columnsOf: ColumnsOf): MysqlType {
  const expressions = withExpressions(query, outer)
  const sources = sourcesOf(query, expressions)
  const named = namedBy(key)
  if (named !== undefined) return typeOf(named, query, outer, columnsOf)
  if (ReferenceNode.is(key)) {
    const name = columnName(key)
    const qualifier = key.table?.table.identifier.name
    const fitting = sources.filter((source) => qualifier === undefined || source.name === qualifier)
    for (const source of fitting) {
      const type = name === undefined ? undefined : columnType(source, name, expressions, columnsOf)
      if (type !== undefined) return type
    }
    return fitting.some(isRaw) ? 'unseen' : 'computed'
  }
  const columns = sources.flatMap(({ table }) => (table === undefined ? [] : (columnsOf(table) ?? [])))
  const { words, references } = partsOf(key)
  if (AggregateFunctionNode.is(key) && /^(min|max)$/i.test(key.func)) {
    const type = typeOf(key.aggregated[0] as OperationNode, query, outer, columnsOf)
    if (typeof type === 'object' || type === 'set') throw unordered()
    return type === 'timestamp' ? type : 'computed'
  }
  if (RawNode.is(key) && /^\s*(min|max)\s*\(/i.test(key.sqlFragments.join(' '))) {
    const found = columns.filter(({ name }) => words.has(name))
    if (found.some(({ type }) => typeof type === 'object' || type === 'set')) throw unordered()
    if (found.length > 0 && found.every(({ type }) => type === 'timestamp')) return 'timestamp'
  }
  const dependsOnZone =
    words.has('from_unixtime') ||
    words.has('unix_timestamp') ||
    columns.some(({ name, type }) => type === 'timestamp' && words.has(name)) ||
    references.some((reference) => typeOf(reference, query, outer, columnsOf) === 'timestamp')
  if (dependsOnZone) return 'zoned'
  return sources.some(isRaw) ? 'unseen' : 'computed'
}

function isRaw({ table, query }: Source): boolean {
  return (table ?? query) === undefined
}

/** The words of the raw SQL in an expression and the columns that it references. */
function partsOf(key: OperationNode): { words: ReadonlySet<string>; references: readonly OperationNode[] } {
  const references: OperationNode[] = []
  let text = ''
  someNode(key, (node) => {
    if (node.kind === 'ReferenceNode') references.push(node as unknown as OperationNode)
    if (node.kind === 'RawNode') text += ` ${(node as unknown as RawNode).sqlFragments.join(' ')}`
    if (node.kind === 'FunctionNode') text += ` ${String(node.func)}`
    return false
  })
  return { words: new Set(text.match(/[\w$]+/g)), references }
}

/** The column that raw SQL consists of. */
function namedBy(key: OperationNode): OperationNode | undefined {
  if (ParensNode.is(key)) return key.node
  if (!RawNode.is(key)) return undefined
  const { sqlFragments, parameters } = key
  const [only] = parameters
  if (only !== undefined) return parameters.length === 1 && sqlFragments.join('').trim() === '' ? only : undefined
  const [, qualifier, name] = /^\s*(?:[`"]?(\w+)[`"]?\.)?[`"]?([a-z_]\w*)[`"]?\s*$/i.exec(sqlFragments.join('')) ?? []
  if (name === undefined) return undefined
  const column = { kind: 'ColumnNode', column: IdentifierNode.create(name) } as const
  return ReferenceNode.create(column, qualifier === undefined ? undefined : TableNode.create(qualifier))
}

function unordered(): QueryUnsupportedError {
  return new QueryUnsupportedError(
    'A key is computed from an ENUM or SET, which MariaDB orders by number and compares by label: cast it, as in `cast(… as char)`',
  )
}

function columnType(
  { table, query }: Source,
  name: string,
  expressions: Expressions,
  columnsOf: ColumnsOf,
): MysqlType | undefined {
  if (table !== undefined) {
    const lower = name.toLowerCase()
    return columnsOf(table)?.find((column) => column.name.toLowerCase() === lower)?.type
  }
  if (query === undefined) return undefined
  const selected = query.selections?.find((selection) => selectionName(selection) === name)?.selection
  const inner = selected === undefined ? undefined : AliasNode.is(selected) ? selected.node : selected
  const selectsAll = query.selections?.some(
    ({ selection }) =>
      selection.kind === 'SelectAllNode' || (ReferenceNode.is(selection) && selection.column.kind === 'SelectAllNode'),
  )
  if (inner === undefined && !selectsAll) return undefined
  const node = inner ?? ReferenceNode.create({ kind: 'ColumnNode', column: IdentifierNode.create(name) })
  return ofRows(query, typeOf(node, query, expressions, columnsOf))
}

/** The type of a column of the query's rows. A union makes other types of some: an ENUM becomes a text. */
function ofRows(query: SelectQueryNode, type: MysqlType): MysqlType {
  return query.setOperations !== undefined && type !== 'timestamp' ? 'computed' : type
}

function withExpressions(query: SelectQueryNode, outer: Expressions): Expressions {
  if (query.with === undefined) return outer
  const all = new Map(outer)
  for (const { name, expression } of query.with.expressions) {
    const named = SelectQueryNode.is(expression) ? withNames(expression, name.columns) : undefined
    all.set(name.table.table.identifier.name, named)
  }
  return all
}

/** The query with other names for its columns; `undefined` when a `*` stands for some of them. */
function withNames(query: SelectQueryNode, names: readonly ColumnNode[] | undefined): SelectQueryNode | undefined {
  if (names === undefined) return query
  if (names.length !== query.selections?.length) return undefined
  const selections = query.selections.map(({ selection }, at) =>
    SelectionNode.create(
      AliasNode.create(AliasNode.is(selection) ? selection.node : selection, (names[at] as ColumnNode).column),
    ),
  )
  return { ...query, selections }
}

function sourcesOf(query: SelectQueryNode, expressions: Expressions): Source[] {
  const nodes = [...(query.from?.froms ?? []), ...(query.joins ?? []).map(({ table }) => table)]
  return nodes.map((node) => {
    const aliased = AliasNode.is(node) && IdentifierNode.is(node.alias) ? node.alias.name : undefined
    const inner = AliasNode.is(node) ? node.node : node
    if (SelectQueryNode.is(inner)) return { name: aliased ?? '', table: undefined, query: inner }
    if (inner.kind !== 'TableNode') return { name: aliased ?? '', table: undefined, query: undefined }
    const { schema, identifier } = (inner as TableNode).table
    const isExpression = schema === undefined && expressions.has(identifier.name)
    const table = isExpression ? undefined : { schema: schema?.name, name: identifier.name }
    return {
      name: aliased ?? identifier.name,
      table,
      query: isExpression ? expressions.get(identifier.name) : undefined,
    }
  })
}
