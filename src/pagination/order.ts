import {
  type OperationNode,
  type OrderByItemNode,
  OrderByNode,
  RawNode,
  ReferenceNode,
  type SelectQueryNode,
  type TupleNode,
} from 'kysely'
import { QueryUnsupportedError } from './errors.ts'
import { isGrouped, wrap } from './grouped.ts'
import { canonical, outputNode, written } from './nodes.ts'
import type { Language, OrderedQuery, OrderKey } from './ordered-query.ts'
import { raw } from './raw.ts'
import type { SortSpec, SortSpecs } from './sort-keys.ts'
import type { NullsPlacement, SqlDialect } from './types.ts'

/**
 * Finds the order of a query: takes off the tuple of keys that was appended to it, resolves the names, puts the unique
 * keys last, and wraps a query whose rows are not the rows of its tables.
 *
 * @param node - the query, whose `orderBy` ends in the tuple of the keys
 * @throws QueryUnsupportedError when it cannot be paged
 */
export function orderOf(node: SelectQueryNode, sorted: SortSpecs, language: Language): OrderedQuery {
  const { by, unique, isShared } = sorted
  if (node.limit ?? node.offset ?? node.fetch ?? node.top) {
    throw new QueryUnsupportedError('The query has a limit or an offset of its own: a page sets its own')
  }
  const { items } = node.orderBy as OrderByNode
  const own = items.slice(0, -1)
  if (own.length > 0 && by.length > 0) {
    throw new QueryUnsupportedError('The query has an `orderBy()` of its own, and `by` is given too: keep one of them')
  }
  // The user's plugins have rewritten the nodes of the tuple by now.
  const { values } = (items.at(-1) as OrderByItemNode).orderBy as TupleNode
  const base = { ...node, orderBy: undefined } as unknown as SelectQueryNode
  const specs = own.length > 0 ? own.map(ownKey) : by
  const nodes = own.length > 0 ? [...specs.map((spec) => spec.node), ...values] : values
  const resolved = nodes.map((key) => outputNode(key, base))
  const names = resolved.map(canonical)
  const isFoundAgain = isShared && own.length === 0
  let found = isFoundAgain ? latest.get(sorted) : undefined
  if (found === undefined || !isLike(found, names, language)) {
    found = find(resolved, names, specs, unique.length, language)
    if (isFoundAgain) latest.set(sorted, found)
  }
  const { keys, signature } = found
  if (!isGrouped(base)) return { base, keys, grouped: false, signature }
  // Its own order decides which row `distinct on` keeps.
  const inner = base.distinctOn && own.length > 0 ? { ...base, orderBy: OrderByNode.create(own) } : base
  return { ...wrap(inner, keys, language.quote), grouped: true, signature }
}

const ways = new WeakMap<readonly OrderKey[], OrderKey[]>()

/** Keys in the order of a walk the other way. */
export function reversed(keys: readonly OrderKey[]): OrderKey[] {
  const before = ways.get(keys)
  if (before !== undefined) return before
  const back = keys.map((key): OrderKey => {
    return { ...key, descending: !key.descending, nulls: key.nulls === 'first' ? 'last' : 'first' }
  })
  ways.set(keys, back)
  return back
}

/** Where the engine itself puts NULLs: PostgreSQL takes them as larger than anything, the others as smaller. */
export function nativeNulls(dialect: SqlDialect, descending: boolean): NullsPlacement {
  return (dialect === 'postgres') === descending ? 'first' : 'last'
}

/** Whether the NULLs of the key stand where a plain index has them. */
export function isNative(key: OrderKey, dialect: SqlDialect): boolean {
  return key.nulls === nativeNulls(dialect, key.descending)
}

/** What names stand for. */
interface FoundKeys extends Language {
  readonly names: readonly string[]
  readonly signature: string
  readonly keys: OrderKey[]
}

/** What was found for keys the last time, which is nearly always what is found again. */
const latest = new WeakMap<SortSpecs, FoundKeys>()

function find(
  nodes: readonly OperationNode[],
  names: readonly string[],
  specs: readonly SortSpec[],
  uniqueCount: number,
  language: Language,
): FoundKeys {
  const { dialect, quote } = language
  const signature = signatureOf(names, specs, language)
  const keys = known.get(signature) ?? remember(signature, keysOf(nodes, names, specs, uniqueCount, language))
  return { dialect, quote, names, signature, keys }
}

function isLike(before: FoundKeys, names: readonly string[], { dialect, quote }: Language): boolean {
  return before.dialect === dialect && before.quote === quote && names.every((name, at) => name === before.names[at])
}

const known = new Map<string, OrderKey[]>()

/** The same array for the same order, so that what is written of the keys is written once; expressions hold values. */
function remember(signature: string, keys: OrderKey[]): OrderKey[] {
  if (known.size < 1_000 && keys.every((key) => ReferenceNode.is(key.node))) known.set(signature, keys)
  return keys
}

function signatureOf(names: readonly string[], specs: readonly SortSpec[], { dialect, quote }: Language): string {
  let text = `${dialect} ${quote}`
  for (let at = 0; at < names.length; at++) {
    const spec = specs[at]
    text += `\n${names[at]}`
    text +=
      spec === undefined ? ' unique' : `${spec.descending ? ' desc ' : ' asc '}${spec.nullable ? spec.nulls : 'never'}`
  }
  return text
}

/** Leaves out keys that decide nothing, because they came before or every unique key did. */
function keysOf(
  nodes: readonly OperationNode[],
  names: readonly string[],
  specs: readonly SortSpec[],
  uniqueCount: number,
  { dialect, quote }: Language,
): OrderKey[] {
  const keys: OrderKey[] = []
  let uniqueSeen = 0
  for (let at = 0; at < names.length && uniqueSeen < uniqueCount; at++) {
    const name = names[at] as string
    if (names.indexOf(name) < at) continue
    const unique = names.indexOf(name, names.length - uniqueCount) >= 0
    if (unique) uniqueSeen++
    const spec = specs[at]
    const descending = (spec ?? specs.at(-1))?.descending ?? false
    const node = nodes[at] as OperationNode
    keys.push({
      node,
      sql: written(node, quote),
      descending,
      nulls: spec?.nulls ?? nativeNulls(dialect, descending),
      nullable: !unique && (spec as SortSpec).nullable,
      unique,
    })
  }
  return keys
}

/** A key of the query's own `orderBy()`: whether it can be NULL is not known, so it is taken to be. */
function ownKey(item: OrderByItemNode): SortSpec {
  const direction = item.direction === undefined ? 'asc' : rawSql(item.direction)
  const match = /^\s*(asc|desc)(?:\s+nulls\s+(first|last))?\s*$/i.exec(direction)
  if (match === null || /\b(asc|desc|nulls\s+(first|last))\s*$/i.test(rawSql(item.orderBy))) {
    throw new QueryUnsupportedError('A key of `orderBy()` has its direction in raw SQL: give it as the second argument')
  }
  return {
    node: item.collation ? raw`${item.orderBy} ${item.collation}` : item.orderBy,
    descending: match[1]?.toLowerCase() === 'desc',
    nulls: item.nulls ?? (match[2]?.toLowerCase() as NullsPlacement | undefined),
    nullable: true,
  }
}

function rawSql(node: OperationNode): string {
  return RawNode.is(node) ? node.sqlFragments.join('') : ''
}
