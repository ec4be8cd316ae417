import type { OperationNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import type { KeyText, Position } from '../key-text/key-text.ts'
import { isNative, type OrderKey, type ResolvedQuery } from './sort-keys.ts'
import { joined, raw } from './sql-nodes.ts'

/** The form of the condition that selects the rows from a position on. */
export type SeekStrategy = 'row' | 'branches' | 'or'

/**
 * Chooses the form that the planner turns into a range of an index:
 *
 * - PostgreSQL needs a row value, and never uses a range for an `or`.
 * - SQLite uses no range for a row value that ends in the rowid.
 * - MySQL and MariaDB need an `or`, and read the whole index for a row value.
 *
 * Where neither form works, disjoint branches under `union all` do: each is a range.
 */
export function seekStrategy({ base, keys, isGrouped }: ResolvedQuery, dialect: SqlDialect): SeekStrategy {
  // The database computes a grouped query as a whole, so the statement must contain it only once.
  if (isGrouped || dialect === 'mysql' || dialect === 'mssql') return 'or'
  if (dialect === 'postgres' && keys.every((key) => !key.isNullable && key.isDescending === keys[0]?.isDescending))
    return 'row'
  // The databases refuse `for update` in a union.
  if (base.endModifiers?.length) return 'or'
  return dialect === 'postgres' || keys.every((key) => isNative(key, dialect)) ? 'branches' : 'or'
}

/**
 * Disjoint conditions, nearest rows first, that together hold for the row at the position and all rows after it. A key that
 * should never be NULL also has a branch for NULLs: then a NULL is read and reported, not lost.
 *
 * @param checkFirstKey - whether the first key has this branch; if not, another check must find its NULLs
 */
export function branchesFrom(
  keys: readonly OrderKey[],
  position: Position,
  text: KeyText,
  checkFirstKey = true,
): OperationNode[] {
  return keys
    .flatMap((key, at) => {
      const value = position[at] ?? null
      const before = equalities(keys, position, text, at)
      const isLast = at === keys.length - 1
      if (value === null) return key.nulls === 'first' ? [and(before, raw`${key.sql} is not null`)] : []
      const beyond = and(before, text.beyond(key, value, isLast))
      const endsInNull = canEndInNull(key) && (key.isNullable || at > 0 || checkFirstKey)
      return endsInNull ? [and(before, text.isNull(key)), beyond] : [beyond]
    })
    .reverse()
}

/**
 * Compares the keys with values, as one comparison of row values. It is never true for a NULL, so {@link unexpectedNullsFrom}
 * must look for NULLs.
 */
export function compareRows(keyList: OperationNode, operator: '=' | '<=' | '>=', values: OperationNode): OperationNode {
  return raw(['(', `) ${operator} (`, ')'], keyList, values)
}

/** A condition on the first key that all rows from the position on meet. SQL Server needs it to use a range of the index. */
export function firstKeyFrom(keys: readonly OrderKey[], position: Position, text: KeyText): OperationNode | undefined {
  const key = keys[0] as OrderKey
  const [value = null] = position
  if (value === null || keys.length === 1 || canEndInNull(key)) return undefined
  return text.beyond(key, value, true)
}

/**
 * For each key that should have no NULLs, the condition that finds rows after the position where the key is NULL.
 *
 * @param position - absent at the start of a walk, where only the first key is checked
 * @param checkFirstKey - whether to look for NULLs in the first key
 */
export function unexpectedNullsFrom(
  keys: readonly OrderKey[],
  position: Position | undefined,
  text: KeyText,
  checkFirstKey: boolean,
): { at: number; condition: OperationNode }[] {
  const found: { at: number; condition: OperationNode }[] = []
  for (let at = checkFirstKey ? 0 : 1; at < (position === undefined ? 1 : keys.length); at++) {
    const key = keys[at] as OrderKey
    if (key.isNullable || !canEndInNull(key)) continue
    found.push({ at, condition: and(equalities(keys, position ?? [], text, at), text.isNull(key)) })
  }
  return found
}

/** Whether the key can have NULLs behind its values. */
export function canEndInNull(key: OrderKey): boolean {
  return key.nulls === 'last' && (key.isNullable || !key.isUnique)
}

function equalities(keys: readonly OrderKey[], position: Position, text: KeyText, count: number): OperationNode[] {
  return keys.slice(0, count).map((key, at) => {
    const value = position[at] ?? null
    return value === null ? text.isNull(key) : text.equals(key, value)
  })
}

/** The condition that a row stands at the position. It is NULL or false for any other row. */
export function isAt(keys: readonly OrderKey[], position: Position, text: KeyText): OperationNode {
  return joined(equalities(keys, position, text, keys.length), ' and ')
}

function and(conditions: readonly OperationNode[], last: OperationNode): OperationNode {
  if (conditions.length === 0) return last
  return joined([...conditions, last], ' and ')
}
