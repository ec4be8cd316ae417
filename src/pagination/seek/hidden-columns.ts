import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { isTrue, type Row } from './query-runner.ts'
import type { OrderKey } from './sort-keys.ts'

// Our statements add columns to the user's rows, each with a number:
//   posthastek  the text of a key              posthasteo  a key's value
//   posthasteg  a key that a grouped query does not select
//   posthasten  a mark of unexpected NULLs ahead
//   posthastem  on SQLite, a mark of values of another type than numbers
//   posthastex  whether the row is that of the cursor
//   posthastey, posthastel  proofs that keys keep their place
//   posthasted, posthastez  on MariaDB and MySQL, the database that the row comes from, and the time zone of the session
const hiddenName = /^posthaste[kongxdzylm]\d+$/

/** Copies the rows without the columns that our statements add. */
export function stripHiddenColumns(rows: readonly Row[]): Row[] {
  return rows.map((row) => {
    const copy = emptyLike(row)
    for (const name in row) {
      // Nearly all rows have these two names, and the pattern takes several times as long.
      if (name === 'posthastek0' || name === 'posthastex0' || isHidden(name)) continue
      if (name !== '__proto__') copy[name] = row[name]
      // Assigning `__proto__` would set the copy's prototype.
      else Object.defineProperty(copy, name, { value: row[name], configurable: true, enumerable: true, writable: true })
    }
    return copy
  })
}

/**
 * A user's plugin may make the rows instances of a class. Rows that a driver makes without a prototype become plain
 * objects.
 */
function emptyLike(row: Row): Row {
  const prototype = Object.getPrototypeOf(row)
  return prototype === Object.prototype || prototype === null ? {} : Object.create(prototype)
}

function isHidden(name: string): boolean {
  return name.startsWith('posthaste') && hiddenName.test(name)
}

/** Whether the row is that of the cursor, as the statement found by comparing its keys with the cursor's. */
export function isCursorRow({ posthastex0 }: Row): boolean {
  return isTrue(posthastex0)
}

/** Whether the rows have the same text in all their keys. */
export function haveSameKeys(left: Row, right: Row, keys: readonly OrderKey[], dialect: SqlDialect): boolean {
  if (dialect === 'postgres') return left.posthastek0 === right.posthastek0
  for (let at = keys.length - 1; at >= 0; at--) if (left[`posthastek${at}`] !== right[`posthastek${at}`]) return false
  return true
}

/** The first key that is NULL in one of the rows, though it should never be. */
export function unexpectedNull(
  rows: readonly Row[],
  keys: readonly OrderKey[],
  dialect: SqlDialect,
): OrderKey | undefined {
  const { isNullIn } = keyTexts[dialect]
  for (let at = 0; at < keys.length; at++) {
    const key = keys[at] as OrderKey
    if (key.isNullable) continue
    // NULLs of the first key stand together at one end, so the first and the last row show them.
    const step = at === 0 ? Math.max(1, rows.length - 1) : 1
    for (let row = 0; row < rows.length; row += step) if (isNullIn(rows[row] as Row, at)) return key
  }
  return undefined
}

/** The first key in which the statement found unexpected NULLs further ahead; it marks them in each of its rows. */
export function unexpectedNullAhead(row: Row | undefined, keys: readonly OrderKey[]): OrderKey | undefined {
  return row && keys.find((key, at) => !key.isNullable && !key.isUnique && (row[`posthasten${at}`] ?? null) !== null)
}
