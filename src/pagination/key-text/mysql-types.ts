import {
  AggregateFunctionNode,
  IdentifierNode,
  type OperationNode,
  ParensNode,
  RawNode,
  ReferenceNode,
  SelectQueryNode,
} from 'kysely'
import { QueryUnsupportedError } from '../errors.ts'
import { columnName, nodeKey, selectedNode, selectionName, unwrap } from '../seek/sql-nodes.ts'
import { mayDependOnZone } from './mysql-zone.ts'
import {
  columnOfKey,
  type Expressions,
  isRaw,
  type QualifiedName,
  type Source,
  selectsAll,
  sourcesOf,
  withExpressions,
} from './query-sources.ts'

/** How a key of this type is written as text and compared on MariaDB and MySQL. */
export type MysqlType =
  | 'integer'
  | 'number'
  | 'double'
  /** With the number of digits after the decimal point. */
  | `decimal:${number}`
  | 'plain'
  | 'timestamp'
  | 'string'
  | 'bytes'
  | 'set'
  | 'computed'
  /** Any type, and the value may depend on the time zone of the session. */
  | 'zoned'
  /** An expression that compares only with text: a UUID or an address. */
  | 'opaque'
  | { readonly labels: readonly string[] }

/**
 * The type of a column. A padded one is a CHAR with a `nopad` collation: MariaDB sorts its texts with the spaces behind them,
 * and compares them without. With the collation in the type, it sorts and compares them with the spaces.
 */
export type MysqlColumnType = MysqlType | `padded:${string}`

function isPadded(type: MysqlColumnType | undefined): type is `padded:${string}` {
  return typeof type === 'string' && type.startsWith('padded:')
}

/** The type of a key, and the collation by which it must be sorted and compared if that is not its own. */
export interface KeyType {
  readonly type: MysqlType
  readonly collation?: string
}

export function keyTypeOf(type: MysqlColumnType): KeyType {
  return isPadded(type) ? { type: 'string', collation: type.slice('padded:'.length) } : { type }
}

/** A column as `information_schema` describes it. */
export interface MysqlColumn {
  /** In lower case. */
  readonly name: string
  readonly type: MysqlColumnType
}

/** The columns of a table; `undefined` if they were not looked up. */
export type ColumnsOf = (table: QualifiedName) => readonly MysqlColumn[] | undefined

/** A table whose columns must be looked up first. */
export class ColumnsMissing extends Error {
  readonly tables: readonly QualifiedName[]

  constructor(tables: readonly QualifiedName[]) {
    super('The columns of a table are not known yet')
    this.tables = tables
  }
}

/**
 * @param type - as in `int(8) unsigned zerofill`
 * @param isComputed - whether the column is virtual or belongs to a view: then it may be computed from instants
 * @param collation - of a text
 */
export function mysqlTypeOf(type: string, isComputed = false, collation = ''): MysqlColumnType {
  if (/^char\b/i.test(type) && collation.includes('_nopad_')) return `padded:${collation.replace('_nopad_', '_')}`
  const own = ownTypeOf(type)
  return isComputed && own !== 'timestamp' && !/^(enum|set|uuid|inet)/i.test(type) ? 'zoned' : own
}

function ownTypeOf(type: string): MysqlType {
  const [name = ''] = /^[a-z0-9]+/i.exec(type) ?? []
  const family = familyOf(name.toLowerCase())
  if (family === 'enum') {
    const labels = [...type.matchAll(/'((?:[^']|'')*)'/g)].map(([, label = '']) => labelOf(label))
    return { labels }
  }
  if (family === 'decimal') return `decimal:${Number(/,\s*(\d+)/.exec(type)?.[1] ?? 0)}`
  return type.includes('zerofill') && family !== 'double' ? 'number' : family
}

/** Decodes a label from the form in which a column's type writes it. */
function labelOf(written: string): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', 0: '\0' }
  return written.replaceAll("''", "'").replaceAll(/\\(.)/g, (_, letter: string) => escapes[letter] ?? letter)
}

/** The names of the types of each family. Other types, such as MySQL's JSON, count as computed. */
const families = {
  integer: ['tinyint', 'smallint', 'mediumint', 'int', 'bigint'],
  number: ['year', 'bit'],
  decimal: ['decimal'],
  double: ['float', 'double'],
  plain: ['uuid', 'inet4', 'inet6', 'date', 'datetime', 'time'],
  timestamp: ['timestamp'],
  enum: ['enum'],
  set: ['set'],
  // Also MariaDB's JSON: its columns are called `longtext`.
  string: ['char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext'],
  bytes: ['binary', 'varbinary', 'tinyblob', 'blob', 'mediumblob', 'longblob'],
}

function familyOf(name: string): keyof typeof families | 'computed' {
  const names = Object.keys(families) as (keyof typeof families)[]
  return names.find((family) => families[family].includes(name)) ?? 'computed'
}

/**
 * The type of each key, which is that of its column, also through derived tables and common table expressions.
 *
 * @throws ColumnsMissing when a table of the query was not looked up yet
 * @throws QueryUnsupportedError for a key computed from an ENUM or SET, whose order and comparison differ
 */
export function mysqlKeyTypes(
  keys: readonly OperationNode[],
  query: SelectQueryNode,
  columnsOf: ColumnsOf,
): MysqlColumnType[] {
  const missing: QualifiedName[] = []
  const known: ColumnsOf = (table) => {
    const columns = columnsOf(table)
    if (columns === undefined) missing.push(table)
    return columns
  }
  const types = keys.map((key) => typeInRows(key, query, new Map(), known))
  if (missing.length > 0) throw new ColumnsMissing(missing)
  return types
}

function typeOf(
  given: OperationNode,
  query: SelectQueryNode,
  outer: Expressions,
  columnsOf: ColumnsOf,
): MysqlColumnType {
  const sources = sourcesOf(query, withExpressions(query, outer))
  const key = unwrap(given)
  const column = columnOfKey(key)
  if (column !== undefined) {
    const name = columnName(column)
    const qualifier = column.table?.table.identifier.name
    const fitting = sources.filter((source) => qualifier === undefined || source.name === qualifier)
    for (const source of fitting) {
      const type = name === undefined ? undefined : columnType(source, name, columnsOf)
      if (type !== undefined) return type
    }
    return 'zoned'
  }
  const extreme = extremeOf(key)
  if (extreme !== undefined) {
    const type = typeOf(extreme, query, outer, columnsOf)
    if (typeof type === 'object' || type === 'set') throw unordered()
    if (type === 'timestamp' || isPadded(type)) return type
  }
  if (sources.some(isRaw)) return 'zoned'
  const typeOfColumn = (name: string) => {
    const types = sources.map((source) => columnType(source, name, columnsOf))
    return types.find(isInstant) ?? types.find((type) => type !== undefined)
  }
  const isZoned = mayDependOnZone(key, {
    isColumnZoned: (column) => isInstant(typeOf(column, query, outer, columnsOf)),
    isNameZoned: (name) => {
      const type = typeOfColumn(name)
      if (type !== undefined) return isInstant(type)
      return sources.some((source) => source.name === name) ? false : undefined
    },
  })
  return isZoned ? 'zoned' : 'computed'
}

/** Whether a value computed from a key of this type may depend on the time zone of the session. */
function isInstant(type: MysqlColumnType | undefined): boolean {
  return type === 'timestamp' || type === 'zoned'
}

/** The argument of `min()` or `max()`, if the key is such a call. In raw SQL, it must be a column. */
function extremeOf(key: OperationNode): OperationNode | undefined {
  if (AggregateFunctionNode.is(key)) return /^(min|max)$/i.test(key.func) ? key.aggregated[0] : undefined
  if (!RawNode.is(key)) return undefined
  const call = /^\s*(?:min|max)\s*\(\s*(?:distinct\s)?([^()]*)\)(?:\s*over\b.*)?$/is
  const fragments = call.exec(key.sqlFragments.join('\0'))?.[1]?.split('\0')
  if (fragments === undefined) return undefined
  return columnOfKey(RawNode.create(fragments, key.parameters.slice(0, fragments.length - 1)))
}

function unordered(): QueryUnsupportedError {
  return new QueryUnsupportedError(
    'A key is computed from an ENUM or SET, which MariaDB orders by number and compares by label: cast it, as in `cast(… as char)`',
  )
}

function columnType(
  { table, query, expressions }: Source,
  name: string,
  columnsOf: ColumnsOf,
): MysqlColumnType | undefined {
  const lower = name.toLowerCase()
  if (table !== undefined) return columnsOf(table)?.find((column) => column.name === lower)?.type
  if (query === undefined) return undefined
  const selected = query.selections?.find((selection) => selectionName(selection)?.toLowerCase() === lower)
  if (selected === undefined && !mayShow(query, name, expressions, columnsOf)) return undefined
  const node =
    selected === undefined
      ? ReferenceNode.create({ kind: 'ColumnNode', column: IdentifierNode.create(name) })
      : selectedNode(selected)
  return typeInRows(node, query, expressions, columnsOf)
}

/** Whether a `*` of the query may include a column of this name. */
function mayShow(query: SelectQueryNode, name: string, outer: Expressions, columnsOf: ColumnsOf): boolean {
  if (!query.selections?.some(selectsAll)) return false
  return sourcesOf(query, withExpressions(query, outer)).some(
    (source) => isRaw(source) || columnType(source, name, columnsOf) !== undefined,
  )
}

/** The type of a key in the query's rows. A union changes some types: an ENUM becomes a text. */
function typeInRows(
  key: OperationNode,
  query: SelectQueryNode,
  outer: Expressions,
  columnsOf: ColumnsOf,
): MysqlColumnType {
  const { setOperations, ...anchor } = query
  if (setOperations === undefined) return typeOf(key, query, outer, columnsOf)
  const name = ReferenceNode.is(key) ? columnName(key) : undefined
  // A recursive expression takes its types from the part that does not name the expression.
  const expressions = new Map(
    [...withExpressions(query, outer)].map(([alias, other]) => [
      alias,
      other.query === query ? { ...other, query: anchor as SelectQueryNode } : other,
    ]),
  )
  const wanted = nodeKey(key)
  const at = (query.selections ?? []).findIndex(
    (selection) =>
      nodeKey(selectedNode(selection)) === wanted || (name !== undefined && selectionName(selection) === name),
  )
  const types = [anchor as SelectQueryNode, ...setOperations.map(({ expression }) => expression)].map(
    (part): MysqlColumnType => {
      const branch = ParensNode.is(part) ? part.node : part
      if (!SelectQueryNode.is(branch)) return 'zoned'
      const selected = branch.selections?.some(selectsAll) ? undefined : branch.selections?.[at]
      return typeInRows(selected === undefined ? key : selectedNode(selected), branch, expressions, columnsOf)
    },
  )
  const [first] = types
  if ((first === 'timestamp' || isPadded(first)) && types.every((type) => type === first)) return first
  return types.some(isInstant) ? 'zoned' : 'computed'
}
