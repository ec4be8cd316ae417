import type { OperationNode } from 'kysely'
import { ReferenceNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { isTrue, type Row } from '../seek/query-runner.ts'
import type { OrderKey } from '../seek/sort-keys.ts'
import { asColumn, joined, raw, sqlText } from '../seek/sql-nodes.ts'
import { textIn } from './key-text.ts'
import { isNearZoneChange } from './mysql-times.ts'
import { onPageOnly } from './postgres.ts'

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
