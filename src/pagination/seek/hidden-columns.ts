import { type OperationNode, ReferenceNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { Position } from '../cursor.ts'
import { CursorUnstableError, KeyNotUniqueError, KeyNullError } from '../errors.ts'
import { textIn } from '../key-text/key-text.ts'
import { keyTexts } from '../key-text/key-texts.ts'
import { isNearZoneChange } from '../key-text/mysql-times.ts'
import { onPageOnly, refuseOtherTypes } from '../key-text/postgres.ts'
import { refuseOtherZone } from './mysql-keys.ts'
import { isTrue, type Row } from './query-runner.ts'
import { describeKey, listKeys, type OrderKey, type ResolvedQuery } from './sort-keys.ts'
import { asColumn, joined, raw, sqlText } from './sql-nodes.ts'

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

// Some keys do not keep their place in the order until the next statement. Only the rows show that.

/**
 * The hidden columns that show whether the keys of a row keep their place in the order:
 *
 * - `posthastey0`: whether computed keys have the same value when they are computed again
 * - `posthastez1`, on MariaDB and MySQL: whether times may be sorted by the local time instead of the instant
 * - `posthastel0`, …, on MariaDB and MySQL: what a sort sees of a text that it cuts
 */
export function proofColumns(keys: readonly OrderKey[], dialect: SqlDialect): OperationNode[] {
  const columns: OperationNode[] = []
  const computed = keys.filter(isComputed)
  if (computed.length > 0) columns.push(asColumn(isSteady(computed, dialect), 'posthastey0'))
  if (dialect !== 'mysql') return columns
  const times = keys.filter(({ type, isByInstant }) => (type === 'timestamp' || type === 'zoned') && !isByInstant)
  if (times.length > 0) columns.push(asColumn(raw`(${joined(times.map(isNearZoneChange), ' or ')})`, 'posthastez1'))
  for (const [at, key] of keys.entries()) if (mayBeCut(key)) columns.push(asColumn(cutText(key), `posthastel${at}`))
  return columns
}

/** Whether a computed key changed when it was computed again, as the result of a volatile function does. */
export function isUnsteady(row: Row): boolean {
  return row.posthastey0 !== undefined && !isTrue(row.posthastey0)
}

/** Whether the row shows that a key is an ENUM or a SET, sorted by its number, whose column was not found. */
export function hasUnknownLabels(row: Row, keys: readonly OrderKey[]): boolean {
  return keys.some(
    ({ type }, at) => (type === 'computed' || type === 'zoned') && textIn(row, at)?.endsWith('#') === true,
  )
}

/** Whether the statement may have sorted the row by the local time of a key, not by its instant. */
export function mayBeByLocalTime(row: Row): boolean {
  return row.posthastez1 !== undefined && isTrue(row.posthastez1)
}

/** The key whose texts a sort cannot tell apart in the two rows, because it ignores how the texts end. */
export function keyOfCutTexts(left: Row, right: Row, keys: readonly OrderKey[]): OrderKey | undefined {
  for (const [at, key] of keys.entries()) {
    const text = left[`posthastel${at}`] ?? null
    // Under `names binary`, the values are bytes.
    if (text !== null && String(text) === String(right[`posthastel${at}`])) return key
    if (left[`posthastek${at}`] !== right[`posthastek${at}`]) return undefined
  }
  return undefined
}

function isComputed({ node }: OrderKey): boolean {
  return !ReferenceNode.is(node)
}

function isSteady(keys: readonly OrderKey[], dialect: SqlDialect): OperationNode {
  const isSame = (key: OrderKey) => {
    const { sql } = key
    // PostgreSQL reuses the value of an expression that it sorted by, but not in a sub-select.
    if (dialect === 'postgres') return raw`${sql} is not distinct from (select ${sql})`
    if (dialect === 'mysql') return raw`${sql} <=> ${sql}`
    return dialect === 'sqlite' ? raw`${sql} is ${sql}` : raw`(${sql} = ${sql} or ${sql} is null)`
  }
  const steady = joined(keys.map(isSame), ' and ')
  if (dialect === 'postgres') return onPageOnly(steady)
  return dialect === 'mssql' ? raw`case when ${steady} then 1 else 0 end` : raw`(${steady})`
}

function mayBeCut({ type = 'computed' }: OrderKey): boolean {
  return typeof type === 'string' && ['string', 'bytes', 'computed', 'zoned'].includes(type)
}

/**
 * A sort without an index ignores the bytes beyond `max_sort_length`; a comparison does not. The sort counts each
 * character of a text as four bytes, or by its weights, of which a byte may have up to sixteen. It needs some bytes for
 * itself. Under `sql_mode = 'ORACLE'`, `length()` counts characters, so `octet_length()` is used.
 */
function cutText({ sql, type }: OrderKey): OperationNode {
  const size = type === 'bytes' ? sqlText('@@max_sort_length - 8') : sqlText('@@max_sort_length div 4 - 2')
  const isLong = raw`octet_length(${sql}) * 16 > @@max_sort_length and (char_length(${sql}) > ${size} or octet_length(weight_string(${sql})) > @@max_sort_length - 8)`
  return raw`if(${isLong}, sha2(left(weight_string(left(${sql}, ${size})), @@max_sort_length - 8), 224), null)`
}

// What rows show may forbid a page.

/**
 * Only the first row may be the cursor's own, and neighbours must differ in a key. Otherwise rows would be lost or repeated
 * at an end of the page.
 *
 * @throws CursorUnstableError for keys that do not keep their place in the order
 * @throws KeyNotUniqueError for rows with the same keys
 * @throws KeyNullError or CursorMismatchError for keys that are not what they were taken for
 */
export function refuseDoubts(
  rows: readonly Row[],
  { resolved: { keys }, position }: { readonly resolved: ResolvedQuery; readonly position: Position | undefined },
  dialect: SqlDialect,
  startsAtCursor: boolean,
): void {
  refuseNull(unexpectedNullAhead(rows[0], keys) ?? unexpectedNull(rows, keys, dialect))
  if (position !== undefined && dialect === 'mysql') refuseOtherZone(rows[0], position, keys)
  if (position !== undefined && dialect === 'postgres') refuseOtherTypes(rows[0]?.posthastek0, position)
  for (const row of rows) {
    if (isUnsteady(row) || (dialect === 'mysql' && hasUnknownLabels(row, keys))) throw unstable(keys)
  }
  for (let at = 1; at < rows.length; at++) {
    const [before, row] = [rows[at - 1] as Row, rows[at] as Row]
    if (haveSameKeys(before, row, keys, dialect) || (startsAtCursor && isCursorRow(row))) {
      throw new KeyNotUniqueError(
        `Rows share the same ${listKeys(keys.filter((key) => key.isUnique))}: give \`unique\` a key, or keys, that tell all rows of the query apart`,
      )
    }
    if (isCursorRow(row)) throw unstable(keys)
    const cut = dialect === 'mysql' ? keyOfCutTexts(before, row, keys) : undefined
    if (cut !== undefined) {
      throw new CursorUnstableError(
        `${describeKey(cut)} has long texts that differ only in what a sort ignores: raise \`max_sort_length\`, or page by the beginning of the text`,
      )
    }
  }
}

export function unstable(keys: readonly OrderKey[]): CursorUnstableError {
  return new CursorUnstableError(
    `A cursor by ${listKeys(keys)} does not find its place again: the database sorts one of ` +
      'them otherwise than it compares it, or its value changes between statements. Page by other keys, or by a cast of them',
  )
}

/** @throws KeyNullError if the statement found unexpected NULLs further ahead */
export function refuseNullAhead(row: Row | undefined, keys: readonly OrderKey[]): void {
  refuseNull(unexpectedNullAhead(row, keys))
}

function refuseNull(key: OrderKey | undefined): void {
  if (key === undefined) return
  throw new KeyNullError(
    `${describeKey(key)} is NULL in some row: say where such rows come, as in \`{ key: 'name', nulls: 'last' }\``,
  )
}
