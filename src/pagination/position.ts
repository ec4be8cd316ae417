import type { OperationNode } from 'kysely'
import type { KeyText } from './key-text.ts'
import { isNative } from './order.ts'
import type { OrderedQuery, OrderKey } from './ordered-query.ts'
import { joined, raw } from './raw.ts'
import type { SqlDialect } from './types.ts'

/** The place of a row in the order: the text of each of its keys. */
export type Position = readonly (string | null)[]

/** How the rows from a position on are asked for. */
export type SeekStrategy = 'row' | 'branches' | 'or'

/**
 * Chooses what the planner can turn into a range of an index. PostgreSQL does with a row value, and never with an `or`;
 * SQLite not with a row value that ends in the rowid; MySQL and MariaDB with an `or`, and read the whole index for a row
 * value. Disjoint branches under `union all`, one range each, serve where these do not.
 */
export function seekStrategy({ base, keys, grouped }: OrderedQuery, dialect: SqlDialect): SeekStrategy {
  // A grouped query is worked out as a whole, so it is named once.
  if (grouped || dialect === 'mysql' || dialect === 'mssql') return 'or'
  if (dialect === 'postgres' && keys.every((key) => !key.nullable && key.descending === keys[0]?.descending))
    return 'row'
  // `for update` is refused beside `union`.
  if (base.endModifiers?.length) return 'or'
  return dialect === 'postgres' || keys.every((key) => isNative(key, dialect)) ? 'branches' : 'or'
}

/**
 * Disjoint conditions that together hold for the row at the position and for all that follow it, nearest first. A key
 * that should never be NULL has its branch for NULLs too: one that is there is met, and reported, instead of lost.
 *
 * @param first - whether the first key has that branch, or is looked after otherwise
 */
export function branchesFrom(
  keys: readonly OrderKey[],
  position: Position,
  text: KeyText,
  first = true,
): OperationNode[] {
  return keys
    .flatMap((key, at) => {
      const value = position[at] ?? null
      const before = equalities(keys, position, text, at)
      const inclusive = at === keys.length - 1
      if (value === null) return key.nulls === 'first' ? [and(before, raw`${key.sql} is not null`)] : []
      const beyond = and(before, beyondValue(key, text.read(value), inclusive))
      const endsInNull = canEndInNull(key) && (key.nullable || at > 0 || first)
      return endsInNull ? [and(before, text.isNull(key.sql)), beyond] : [beyond]
    })
    .reverse()
}

/** The same as one comparison of row values; NULLs compare as unknown, which {@link nullsFrom} makes up for. */
export function rowValueFrom(
  names: OperationNode,
  keys: readonly OrderKey[],
  position: Position,
  text: KeyText,
): OperationNode {
  const values = position.map((value) => text.read(value as string))
  const comparison = keys[0]?.descending ? ') <= (' : ') >= ('
  return raw(['(', comparison, ...Array<string>(values.length - 1).fill(', '), ')'], names, ...values)
}

/** What all rows from the position on have in common, by which SQL Server finds the range of the index. */
export function firstKeyFrom(keys: readonly OrderKey[], position: Position, text: KeyText): OperationNode | undefined {
  const key = keys[0] as OrderKey
  const [value = null] = position
  if (value === null || keys.length === 1 || canEndInNull(key)) return undefined
  return beyondValue(key, text.read(value), true)
}

/**
 * The keys that should have no NULLs, and the condition on those that follow the position if there are some.
 *
 * @param position - absent at the start of a walk: only the first key can have NULLs anywhere then
 * @param first - whether to look for those of the first key
 */
export function nullsFrom(
  keys: readonly OrderKey[],
  position: Position | undefined,
  text: KeyText,
  first: boolean,
): { at: number; condition: OperationNode }[] {
  return keys.flatMap((key, at) => {
    if (key.nullable || !canEndInNull(key) || (at === 0 ? !first : position === undefined)) return []
    return [{ at, condition: and(equalities(keys, position ?? [], text, at), text.isNull(key.sql)) }]
  })
}

function beyondValue(key: OrderKey, value: OperationNode, inclusive: boolean): OperationNode {
  if (inclusive) return key.descending ? raw`${key.sql} <= ${value}` : raw`${key.sql} >= ${value}`
  return key.descending ? raw`${key.sql} < ${value}` : raw`${key.sql} > ${value}`
}

function canEndInNull(key: OrderKey): boolean {
  return key.nulls === 'last' && !key.unique
}

function equalities(keys: readonly OrderKey[], position: Position, text: KeyText, count: number): OperationNode[] {
  return keys.slice(0, count).map(({ sql }, at) => {
    const value = position[at] ?? null
    return value === null ? text.isNull(sql) : raw`${sql} = ${text.read(value)}`
  })
}

function and(conditions: readonly OperationNode[], last: OperationNode): OperationNode {
  return joined([...conditions, last], ' and ')
}
