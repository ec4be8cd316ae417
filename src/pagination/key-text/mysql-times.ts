import type { OperationNode } from 'kysely'
import type { OrderKey } from '../seek/sort-keys.ts'
import { parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { beyondValue, unreadable } from './key-text.ts'

// A TIMESTAMP compares with any value as the session's local time, in which an hour is repeated when daylight saving ends;
// it sorts by its instant. `unix_timestamp()` is the instant, but no index finds it: so each condition has both. The bounds
// are three hours wide where the offset of the zone changes near the instant.

/** MySQL refuses the text of the zero timestamp in its default mode. */
const zeroTimestamp = /* @__PURE__ */ sqlText('0')

function isZeroTimestamp(text: string): boolean {
  return /^t0(\.0+)?$/.test(text)
}

/** Seconds since 1970 behind a mark. */
export function secondsOf(text: string): OperationNode {
  return raw`cast(${parameter(text.slice(1))} as decimal(20, 6))`
}

/** Through a derived table, the zero timestamp has the instant NULL. */
export function instantOf(sql: OperationNode): OperationNode {
  return raw`coalesce(unix_timestamp(${sql}), 0)`
}

function localBound(seconds: OperationNode, sign: '-' | '+'): OperationNode {
  const isSteady = raw`timestampdiff(second, from_unixtime(${seconds} - 10800), from_unixtime(${seconds} + 10800)) = 21600`
  const local = raw`from_unixtime(${seconds})`
  return raw(['if(', ', ', ', ', ` ${sign} interval 3 hour)`], isSteady, local, local)
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

// An expression is a TIMESTAMP or a DATETIME, and SQL does not say which. One sorts by the instant and one by the local time.
// Both sort by the instant and then the local time: two local times have one instant only where the clock is put forward.
// A time without an instant is zero, or a DATETIME of another century, and sorts by the local time.

/** `i`, an instant and a local time. */
export const timePattern: RegExp = /^i\d{1,11}(?:\.\d{1,6})? s[ -~]*$/

/**
 * The text of a date with a time, or `s` and the text of a key of another type.
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
 * Adds the zero date, which stands before all others. If an expression returns it, MySQL takes it for NULL beside any time, in
 * its default mode, and MariaDB under NO_ZERO_DATE.
 */
export function orZeroDate({ sql, isDescending }: OrderKey, condition: OperationNode): OperationNode {
  const mayBeNull = raw`(version() not like '%MariaDB%' or @@sql_mode like '%NO_ZERO_DATE%')`
  return isDescending ? raw`(${condition} or (${mayBeNull} and ${sql} + 0 = 0))` : condition
}

export function timeAt({ sql }: OrderKey, text: string): OperationNode {
  const seconds = secondsIn(text)
  // By an index, a TIMESTAMP is equal to one of the instants of a local time only. The cast keeps it from being used.
  return raw`${isNear(sql, seconds)} and ${timeInstant(sql)} = ${seconds} and cast(${sql} as datetime(6)) = ${localTimeOf(text)}`
}

export function timeBeyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  const seconds = secondsIn(text)
  const instant = timeInstant(key.sql)
  const byInstant = beyondValue({ ...key, sql: instant }, seconds, isInclusive)
  // A date with a zero in it may be no DATETIME.
  const [byDatetime, byDate] = [raw`cast(${key.sql} as datetime(6))`, key.sql].map((sql) =>
    beyondValue({ ...key, sql }, localTimeOf(text), isInclusive),
  ) as [OperationNode, OperationNode]
  const byLocalTime = raw`coalesce(${byDatetime}, ${byDate})`
  const isBeyond = raw`case when ${instant} <> ${seconds} then ${byInstant} else ${byLocalTime} end`
  return orZeroDate(key, withinBound(key, seconds, isBeyond))
}

/**
 * The instant of a time that may be of any type. MySQL knows the instant of a TIMESTAMP in a table, and elsewhere the local time
 * alone. Because it moves conditions from one to the other, it is asked for the instant of the local time.
 */
function instantOfTime(sql: OperationNode): OperationNode {
  return raw`if(version() like '%MariaDB%', unix_timestamp(${sql}), unix_timestamp(cast(${sql} as datetime(6))))`
}

// MySQL sorts a TIMESTAMP in a temporary table or an expression by its local time, though a column by its instant. The two
// orders differ only near a change of the zone's offset.

/** Whether the offset of the session's zone changes near the instant of the key, on MySQL. */
export function isNearZoneChange({ sql, type }: OrderKey): OperationNode {
  const instant = type === 'timestamp' ? raw`unix_timestamp(${sql})` : instantOfTime(sql)
  const hours = raw`timestampdiff(second, from_unixtime(${instant} - 10800), from_unixtime(${instant} + 10800))`
  const isNear = raw`@@time_zone not like '%:%' and version() not like '%MariaDB%' and ifnull(${hours} <> 21600, 0)`
  return type === 'timestamp' ? isNear : raw`if(concat(${sql}) like '____-%', ${isNear}, 0)`
}

/** What to order by in place of the key, so that times come in the order of their instants. */
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
