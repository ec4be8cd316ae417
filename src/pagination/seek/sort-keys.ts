import {
  OffsetNode,
  type OperationNode,
  type OrderByItemNode,
  OrderByNode,
  RawNode,
  ReferenceNode,
  type SelectQueryNode,
  type TupleNode,
} from 'kysely'
import { someNode } from '../../shared/sql/query-tree.ts'
import { nativeNulls, type SqlDialect } from '../../shared/sql/statement.ts'
import { QueryUnsupportedError } from '../errors.ts'
import type { KeyType, MysqlType } from '../key-text/mysql-types.ts'
import type { InnerKey } from '../key-text/query-sources.ts'
import type { NullsPlacement } from '../types.ts'
import {
  columnOrPlace,
  isConstant,
  isGrouped,
  isWindowFunction,
  refuseKey,
  refuseRawClauses,
  resolveAlias,
  resolvePosition,
  withoutComments,
} from './clauses.ts'
import { wrapGrouped } from './grouped-query.ts'
import {
  columnsAsText,
  conditionAsText,
  nodeKey,
  raw,
  rawText,
  type SqlStyle,
  sqlText,
  toSql,
  unwrap,
} from './sql-nodes.ts'

/** A key as the caller gave it, before it was resolved against the query. */
export interface GivenKey {
  readonly node: OperationNode
  readonly isDescending: boolean
  readonly nulls: NullsPlacement | undefined
  readonly isNullable: boolean
}

/** The keys of `by` and `unique`, as the caller gave them. */
export interface GivenKeys {
  readonly by: readonly GivenKey[]
  /** Their direction is left open: it follows the last key of the order. */
  readonly unique: readonly GivenKey[]
  /**
   * The nodes of all keys as one expression. It becomes part of the query's `orderBy`, where the user's plugins rewrite
   * it.
   */
  readonly tuple: object
  /** The nodes of the tuple. */
  readonly nodes: readonly OperationNode[]
}

/** A key of the order, resolved against the query. */
export interface OrderKey {
  readonly node: OperationNode
  /** The key as the user wrote it, if `node` is a column of a wrapped query. */
  readonly given?: OperationNode | undefined
  /** The node as statements write it. */
  readonly sql: OperationNode
  readonly isDescending: boolean
  readonly nulls: NullsPlacement
  /** Whether the caller expects NULLs in it. */
  readonly isNullable: boolean
  /** Whether it is one of the `unique` keys, which we trust never to be NULL. */
  readonly isUnique: boolean
  /** The type of its column, on MariaDB and MySQL. */
  readonly type?: MysqlType | undefined
  /** On MariaDB, the collation by which a CHAR must be sorted and compared. */
  readonly collation?: string | undefined
  /** Whether the statement sorts times by their instants explicitly, on MySQL. */
  readonly isByInstant?: boolean | undefined
  /**
   * On MariaDB and MySQL, what the key is inside another query that the query reads from. Conditions may be moved in
   * there.
   */
  readonly inner?: InnerKey | undefined
  /** On SQLite, if the query reads from a union: whether the key is assumed to have values of one type or of several. */
  readonly typesInUnion?: 'one' | 'several' | undefined
}

/** A query without its order, and the keys to order it by. */
export interface ResolvedQuery {
  /** The query as the user's plugins rewrote it. */
  readonly node: SelectQueryNode
  readonly base: SelectQueryNode
  /** The condition of `base`. */
  readonly condition: OperationNode | undefined
  readonly keys: readonly OrderKey[]
  /** Whether `base` wraps the user's query, because its rows are not those of its tables. */
  readonly isGrouped: boolean
  /** Differs between any two orders; the fingerprint of a cursor contains it. */
  readonly signature: string
}

/** Finds the types of keys, where the database needs them. As an interface, because a bundle of `paginate` needs none. */
export interface KeyTypes {
  typesOf(keys: readonly OperationNode[], base: SelectQueryNode): readonly KeyType[]
  innerKeyOf(key: OperationNode, query: SelectQueryNode): InnerKey | undefined
}

const maxCached = 1_000
const noItems: readonly OrderByItemNode[] = []

/**
 * Resolves the order of a query: takes the tuple of the given keys off its `orderBy`, replaces aliases by what they stand
 * for, puts the unique keys last, and wraps a query whose rows are not the rows of its tables.
 *
 * @param node - the query as the user's plugins rewrote it; its `orderBy` ends in {@link GivenKeys.tuple}
 * @param isFenced - whether PostgreSQL must not work keys out for rows that the query leaves out
 * @throws QueryUnsupportedError when the query cannot be paged
 */
export function resolveOrder(
  node: SelectQueryNode,
  given: GivenKeys,
  style: SqlStyle,
  keyTypes?: KeyTypes,
  isFenced = false,
): ResolvedQuery {
  refuseRawClauses(node)
  const { by, unique } = given
  const { items } = node.orderBy as OrderByNode
  // Kysely freezes its arrays, and to slice a frozen one is slow.
  const ownItems = items.length === 1 ? noItems : items.slice(0, -1)
  if (ownItems.length > 0 && by.length > 0) {
    throw new QueryUnsupportedError('The query has an `orderBy()` of its own, and `by` is given too: keep one of them')
  }
  // The nodes are taken from the tuple, not from `by` and `unique`: the user's plugins rewrote only the tuple.
  const { values } = (items.at(-1) as OrderByItemNode).orderBy as TupleNode
  const ordered = ownItems.length > 0 ? ownItems.map((item) => parseOwnItem(item, node, style.dialect)) : by
  const nodes = ownItems.length > 0 ? [...ordered.map((key) => key.node), ...values] : values
  const allResolved = nodes.map((key) => resolveKey(key, node, style.dialect))
  const isAsGiven = keyTypes === undefined && allResolved.every((key, at) => key === given.nodes[at])
  const known = isAsGiven ? orders.get(given)?.get(styleName(style)) : undefined
  const { keys, signature } = known ?? orderOf(allResolved, ordered, unique.length, node, style, keyTypes)
  if (known === undefined && isAsGiven) remember(given, style, { keys, signature })
  // In an order, databases would take the `name` of `select a as name, name as b` for `a`, not for the column `name`.
  const isHidden = allResolved.some((key, at) => key !== nodes[at] && resolveAlias(key, node, style.dialect) !== key)
  if (!isFenced && !isHidden && !isGrouped(node) && (known !== undefined || !needTable(keys))) {
    const selections = columnsAsText(node.selections, style.quote)
    const base: object = { ...node, orderBy: undefined, selections }
    const condition = node.where && conditionAsText(node.where.where, style.quote)
    return { node, base: base as SelectQueryNode, condition, keys, isGrouped: false, signature }
  }
  // The query's own order decides which row `distinct on` keeps.
  const keepsOrder = node.distinctOn !== undefined && ownItems.length > 0
  const orderBy = keepsOrder ? OrderByNode.create(ownItems) : undefined
  const inner = { ...node, orderBy, offset: isFenced ? fence : undefined }
  const { table, columns } = wrapGrouped(
    inner as SelectQueryNode,
    keys.map((key) => key.node),
  )
  const outerKeys = keys.map((key, at) => {
    const column = columns[at] as ReferenceNode
    const inner = keyTypes?.innerKeyOf(column, table)
    return { ...key, node: column, given: key.node, sql: keySql(column, key.collation, style.quote), inner }
  })
  return { node, base: table, condition: undefined, keys: outerKeys, isGrouped: true, signature }
}

/** PostgreSQL moves no condition into a sub-query that has an offset. */
const fence = /* @__PURE__ */ (() => OffsetNode.create(sqlText('0')))()

/** Whether the keys can be used only as columns of a wrapped query. */
function needTable(keys: readonly OrderKey[]): boolean {
  const isWindow = (key: OperationNode) => someNode(key, (part) => isWindowFunction(part as OperationNode))
  return (
    keys.some(({ node }) => !ReferenceNode.is(node) && isWindow(node)) || keys.every(({ node }) => isConstant(node))
  )
}

type Order = Pick<ResolvedQuery, 'keys' | 'signature'>

/** The order by keys that are resolved already. */
function orderOf(
  allNodes: readonly OperationNode[],
  given: readonly GivenKey[],
  uniqueCount: number,
  base: SelectQueryNode,
  style: SqlStyle,
  keyTypes: KeyTypes | undefined,
): Order {
  // A constant orders nothing, so it is left out if there are other keys. In a union, each query may have another constant.
  const hasOrder = base.setOperations === undefined && !allNodes.every(isConstant)
  const isKey = (node: OperationNode) => !hasOrder || !isConstant(node)
  const nodes = allNodes.filter(isKey)
  const givenKeys = given.filter((_key, at) => isKey(allNodes[at] as OperationNode))
  const names = nodes.map(nodeKey)
  const types = keyTypes?.typesOf(nodes, base)
  const signature = signatureOf(names, givenKeys, style)
  const inner = keyTypes && nodes.map((key) => keyTypes.innerKeyOf(key, base))
  const typedSignature = types === undefined ? signature : `${signature}\n${JSON.stringify([types, inner])}`
  const keys =
    keysBySignature.get(typedSignature) ??
    cacheKeys(typedSignature, keysOf(nodes, names, givenKeys, uniqueCount, style, types, inner))
  return { keys, signature }
}

/** Resolved orders whose keys are all columns: by the given keys, then by the style of SQL. */
const orders = new WeakMap<GivenKeys, Map<string, Order>>()

function remember(given: GivenKeys, style: SqlStyle, order: Order): void {
  if (!order.keys.every((key) => ReferenceNode.is(key.node))) return
  const known = orders.get(given) ?? new Map<string, Order>()
  orders.set(given, known.set(styleName(style), order))
}

function styleName({ dialect, quote }: SqlStyle): string {
  return quote === undefined ? `${dialect} unquoted` : dialect
}

/** @throws QueryUnsupportedError for a key that cannot order pages */
function resolveKey(given: OperationNode, query: SelectQueryNode, dialect: SqlDialect): OperationNode {
  const key = unwrap(given)
  const resolved = resolveAlias(key, query, dialect)
  if (!ReferenceNode.is(resolved)) refuseKey(resolved)
  if (query.setOperations === undefined) return resolved
  // In a union, keep the name: what the first query selects twice may be two columns in another query.
  const { column, collation } = columnOrPlace(key, dialect) ?? {}
  return column === undefined || collation !== undefined ? key : column
}

/** A key of the query's own `orderBy()`. We cannot know whether it is ever NULL, so it counts as nullable. */
function parseOwnItem(item: OrderByItemNode, query: SelectQueryNode, dialect: SqlDialect): GivenKey {
  const direction = item.direction === undefined ? 'asc' : rawSqlOf(item.direction)
  const match = /^\s*(asc|desc)(?:\s+nulls\s+(first|last))?\s*$/i.exec(direction)
  if (match === null || /\b(asc|desc|nulls\s+(first|last)|using\s*[<>]=?)\s*$/i.test(rawSqlOf(item.orderBy))) {
    throw new QueryUnsupportedError('A key of `orderBy()` has its direction in raw SQL: give it as the second argument')
  }
  return {
    node: item.collation ? raw`${item.orderBy} ${item.collation}` : resolvePosition(item, query, dialect),
    isDescending: match[1]?.toLowerCase() === 'desc',
    nulls: item.nulls ?? (match[2]?.toLowerCase() as NullsPlacement | undefined),
    isNullable: true,
  }
}

function rawSqlOf(node: OperationNode): string {
  return RawNode.is(node) ? withoutComments(rawText(node)) : ''
}

function signatureOf(names: readonly string[], givenKeys: readonly GivenKey[], { dialect, quote }: SqlStyle): string {
  let text = `${dialect} ${quote}`
  for (let at = 0; at < names.length; at++) {
    const key = givenKeys[at]
    text += `\n${names[at]}`
    text +=
      key === undefined ? ' unique' : `${key.isDescending ? ' desc ' : ' asc '}${key.isNullable ? key.nulls : 'never'}`
  }
  return text
}

const keysBySignature = new Map<string, OrderKey[]>()

/**
 * Equal orders share one array of keys, by which statements cache their SQL. Expressions are not cached, because they
 * hold values.
 */
function cacheKeys(signature: string, keys: OrderKey[]): OrderKey[] {
  if (keysBySignature.size < maxCached && keys.every((key) => ReferenceNode.is(key.node))) {
    keysBySignature.set(signature, keys)
  }
  return keys
}

/** Leaves out keys that cannot change the order: repeated ones, and those behind all unique keys. */
function keysOf(
  nodes: readonly OperationNode[],
  names: readonly string[],
  givenKeys: readonly GivenKey[],
  uniqueCount: number,
  { dialect, quote }: SqlStyle,
  types: readonly KeyType[] | undefined,
  inner: readonly (InnerKey | undefined)[] | undefined,
): OrderKey[] {
  const keys: OrderKey[] = []
  let uniqueSeen = 0
  for (let at = 0; at < names.length && uniqueSeen < uniqueCount; at++) {
    const name = names[at] as string
    if (names.indexOf(name) < at) continue
    const isUnique = names.indexOf(name, names.length - uniqueCount) >= 0
    if (isUnique) uniqueSeen++
    const given = givenKeys[at]
    const isDescending = (given ?? givenKeys.at(-1))?.isDescending ?? false
    const node = nodes[at] as OperationNode
    const { type, collation } = types?.[at] ?? {}
    keys.push({
      node,
      sql: keySql(node, collation, quote),
      isDescending,
      nulls: given?.nulls ?? nativeNulls(dialect, isDescending),
      // A unique key is trusted to have no NULLs, unless the caller has said where they stand.
      isNullable: given?.isNullable === true && (!isUnique || given.nulls !== undefined),
      isUnique,
      type,
      collation,
      inner: inner?.[at],
    })
  }
  return keys
}

function keySql(node: OperationNode, collation: string | undefined, quote: string | undefined): OperationNode {
  const sql = toSql(node, quote)
  return collation === undefined ? sql : raw(['(', ` collate ${collation})`], sql)
}

const reversedByKeys = new WeakMap<readonly OrderKey[], OrderKey[]>()

/** The keys of the opposite order. */
export function reversed(keys: readonly OrderKey[]): OrderKey[] {
  const cached = reversedByKeys.get(keys)
  if (cached !== undefined) return cached
  const opposite = keys.map((key): OrderKey => {
    return { ...key, isDescending: !key.isDescending, nulls: key.nulls === 'first' ? 'last' : 'first' }
  })
  reversedByKeys.set(keys, opposite)
  return opposite
}

/** The key as the subject of a message. */
export function describeKey({ node, given = node }: OrderKey): string {
  return ReferenceNode.is(given) ? `The key \`${nodeKey(given)}\`` : 'A computed key'
}

/** Keys as a list for messages. */
export function listKeys(keys: readonly OrderKey[]): string {
  const names = keys.map(({ node, given = node }) =>
    ReferenceNode.is(given) ? `\`${nodeKey(given)}\`` : 'a computed key',
  )
  return names.join(', ')
}

/** Whether a plain index holds the NULLs of the key where the order wants them. */
export function isNative(key: OrderKey, dialect: SqlDialect): boolean {
  return key.nulls === nativeNulls(dialect, key.isDescending)
}
