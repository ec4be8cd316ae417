import type { OperationNode } from 'kysely'
import type { OrderKey } from '../seek/sort-keys.ts'
import { parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { beyondValue, unreadable } from './key-text.ts'

// A TIMESTAMP sorts by its instant. But it compares with other values as the session's local time, in which one hour
// comes twice when daylight saving ends. `unix_timestamp()` gives the instant, but cannot use an index. So each condition
// has both: bounds in local time for the index, and the exact instant. The bounds are three hours wider near a change of
// the zone's offset.

/** MySQL refuses the text of the zero timestamp in its default mode. */
const zeroTimestamp = /* @__PURE__ */ sqlText('0')

function isZeroTimestamp(text: string): boolean {
  return /^t0(\.0+)?$/.test(text)
}

/** The seconds since 1970 in a text, without its mark. */
export function secondsOf(text: string): OperationNode {
  return raw`cast(${parameter(text.slice(1))} as decimal(20, 6))`
}

/** In a derived table, `unix_timestamp()` of the zero timestamp is NULL. */
export function instantOf(sql: OperationNode): OperationNode {
  return raw`coalesce(unix_timestamp(${sql}), 0)`
}

function localBound(seconds: OperationNode, sign: '-' | '+'): OperationNode {
  const local = raw`from_unixtime(${seconds})`
  return raw(['if(', ' = 21600, ', ', ', ` ${sign} interval 3 hour)`], localSecondsAround(seconds), local, local)
}

/** How many seconds of local time the six hours around an instant take: 21600 unless the zone's offset changes in them. */
function localSecondsAround(instant: OperationNode): OperationNode {
  return raw`timestampdiff(second, from_unixtime(${instant} - 10800), from_unixtime(${instant} + 10800))`
}

export function timestampAt({ sql }: OrderKey, text: string): OperationNode {
  if (isZeroTimestamp(text)) return raw`${sql} = ${zeroTimestamp}`
  const seconds = secondsOf(text)
  return raw`${isNear(sql, seconds)} and ${instantOf(sql)} = ${seconds}`
}

export function timestampBeyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  if (isZeroTimestamp(text)) return beyondValue(key, zeroTimestamp, isInclusive)
  const seconds = secondsOf(text)
  return withinBound(key, seconds, beyondValue({ ...key, sql: instantOf(key.sql) }, seconds, isInclusive))
}

function isNear(sql: OperationNode, seconds: OperationNode): OperationNode {
  return raw`${sql} between ${localBound(seconds, '-')} and ${localBound(seconds, '+')}`
}

function withinBound({ sql, isDescending }: OrderKey, seconds: OperationNode, condition: OperationNode): OperationNode {
  const bound = localBound(seconds, isDescending ? '+' : '-')
  return isDescending ? raw`(${sql} <= ${bound} and ${condition})` : raw`(${sql} >= ${bound} and ${condition})`
}

// SQL does not say whether an expression is a TIMESTAMP, which sorts by its instant, or a DATETIME, which sorts by its
// local time. We compare both by the instant, then by the local time: two local times share an instant only where the
// clock is put forward. A time without an instant (zero, or a DATETIME of another century) is compared by its local time.

/** `i`, the instant, ` s`, the local time. */
export const timePattern: RegExp = /^i\d{1,11}(?:\.\d{1,6})? s[ -~]*$/

/**
 * Writes a date with a time as its instant and local time, and a key of another type as `s` and its text.
 *
 * @param text - the text of the key
 */
export function timeOf(sql: OperationNode, text: OperationNode): OperationNode {
  const instant = instantOfTime(sql)
  return raw`if(${text} like '____-%' and ${instant} > 0, concat('i', ${instant}, ' s', ${text}), concat('s', ${text}))`
}

export function localTimeOf(text: string): OperationNode {
  if (!timePattern.test(text)) throw unreadable()
  return parameter(text.slice(text.indexOf(' ') + 2))
}

/**
 * Adds the zero date, which sorts before all others. MySQL in its default mode takes an expression's zero date for NULL
 * when it compares it with a time. MariaDB does so under NO_ZERO_DATE.
 */
export function orZeroDate({ sql, isDescending }: OrderKey, condition: OperationNode): OperationNode {
  const mayBeNull = raw`(version() not like '%MariaDB%' or @@sql_mode like '%NO_ZERO_DATE%')`
  return isDescending ? raw`(${condition} or (${mayBeNull} and ${sql} + 0 = 0))` : condition
}

export function timeAt({ sql }: OrderKey, text: string): OperationNode {
  const seconds = secondsIn(text)
  // With an index, a TIMESTAMP equals only one of the instants of a repeated local time. The cast prevents the use of the
  // index.
  return raw`${isNear(sql, seconds)} and ${timeInstant(sql)} = ${seconds} and cast(${sql} as datetime(6)) = ${localTimeOf(text)}`
}

export function timeBeyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  const seconds = secondsIn(text)
  const instant = timeInstant(key.sql)
  const byInstant = beyondValue({ ...key, sql: instant }, seconds, isInclusive)
  // A date with a zero part may be NULL as a DATETIME.
  const [byDatetime, byDate] = [raw`cast(${key.sql} as datetime(6))`, key.sql].map((sql) =>
    beyondValue({ ...key, sql }, localTimeOf(text), isInclusive),
  ) as [OperationNode, OperationNode]
  const byLocalTime = raw`coalesce(${byDatetime}, ${byDate})`
  const isBeyond = raw`case when ${instant} <> ${seconds} then ${byInstant} else ${byLocalTime} end`
  return orZeroDate(key, withinBound(key, seconds, isBeyond))
}

/**
 * The instant of a time of any type. MySQL knows the instant of a TIMESTAMP only in a table, and elsewhere its local
 * time. It also moves conditions from one place to the other. So on MySQL this is the instant of the local time.
 */
function instantOfTime(sql: OperationNode): OperationNode {
  return raw`if(version() like '%MariaDB%', unix_timestamp(${sql}), unix_timestamp(cast(${sql} as datetime(6))))`
}

// MySQL sorts a TIMESTAMP column by its instant, but a TIMESTAMP in a temporary table or an expression by its local time.
// The two orders differ only near a change of the zone's offset.

/** Whether the offset of the session's zone changes near the instant of the key, on MySQL. */
export function isNearZoneChange({ sql, type }: OrderKey): OperationNode {
  const instant = type === 'timestamp' ? raw`unix_timestamp(${sql})` : instantOfTime(sql)
  const isNear = raw`@@time_zone not like '%:%' and version() not like '%MariaDB%' and ifnull(${localSecondsAround(instant)} <> 21600, 0)`
  return type === 'timestamp' ? isNear : raw`if(concat(${sql}) like '____-%', ${isNear}, 0)`
}

/** The terms to order by instead of the key, so that times are sorted by their instants. */
export function byInstant({ sql, type }: OrderKey): OperationNode[] {
  if (type === 'timestamp') return [raw`if(${sql} <=> null, null, ${instantOf(sql)})`]
  const instant = instantOfTime(sql)
  const seconds = raw`if(${instant} > 0, ${instant}, timestampdiff(second, '1970-01-03', ${sql}))`
  const isTime = raw`concat(${sql}) like '____-%'`
  return [
    raw`if(${isTime}, coalesce(${seconds}, -1e15), null)`,
    raw`if(${isTime}, cast(${sql} as datetime(6)), null)`,
    raw`if(${isTime}, null, ${sql})`,
  ]
}

function timeInstant(sql: OperationNode): OperationNode {
  return raw`nullif(${instantOfTime(sql)}, 0)`
}

function secondsIn(text: string): OperationNode {
  return secondsOf(text.slice(0, text.indexOf(' ')))
}

/** The keys of an order in which times are surely sorted by their instants. */
export function withInstants(keys: readonly OrderKey[]): OrderKey[] {
  return keys.map((key) => ({ ...key, isByInstant: key.type === 'timestamp' || key.type === 'zoned' }))
}
