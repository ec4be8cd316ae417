import type { OperationNode } from 'kysely'
import type { Row } from '../seek/query-runner.ts'
import type { OrderKey } from '../seek/sort-keys.ts'
import { asColumn, joined, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { beyondValue, hasNoText, type KeyText, textIn, unreadable } from './key-text.ts'
import type { MysqlType } from './mysql-types.ts'

/**
 * MariaDB sorts some types otherwise than it compares them with text, and it compares a text with a number as doubles. So
 * keys are written and compared by the type of their column. Where there is no column, the statement finds the type from
 * conversions, and says it by the first letter of the text.
 */
export const mysql: KeyText = {
  columns: (keys) => keys.map((key, at) => asColumn(write(key), `phk${at}`)),
  positionOf: (row, keys) => keys.map((key, at) => packed(row, at, key)),
  isNullIn: hasNoText,
  // `is null` finds the date 0000-00-00 in a NOT NULL column.
  isNull: ({ sql }) => raw`${sql} <=> null`,
  equals,
  beyond,
  read: readKey,
}

/** The time zone of the session that wrote the text of a key, if the key depends on it. */
export function zoneOfKey(text: string, { type }: OrderKey): string | undefined {
  const isZoned = type === 'zoned' || (type === 'unseen' && text.startsWith('z'))
  return isZoned ? text.slice(1, text.indexOf(' ')) : undefined
}

// A migration may have changed the type of a column since it was looked up. Where that shows, the text is empty.
function write({ sql, type = 'computed' }: OrderKey): OperationNode {
  if (typeof type === 'object') return raw`concat(${sql} + 0, ' ', hex(convert(${sql} using utf8mb4)))`
  switch (type) {
    case 'plain':
      return raw`cast(${sql} as char)`
    case 'number':
      return raw`if(charset(${sql}) = 'binary', cast(${sql} + 0 as char), '')`
    case 'set':
      return raw`cast(${sql} + 0 as char)`
    case 'double':
      return raw`if(charset(${sql}) = 'binary', ${textOf(raw`${sql} + 0e0`)}, '')`
    case 'timestamp':
      return raw`if(charset(${sql}) = 'binary', cast(if(${sql} <=> null, null, ${instantOf(sql)}) as char), '')`
    case 'string':
      return raw`concat(if(charset(${sql}) = 'binary', '', 'x'), hex(${sql}))`
    case 'bytes':
      return raw`concat('x', hex(${sql}))`
    case 'opaque':
      return raw`concat('s', cast(${sql} as char))`
    case 'computed':
      return guess(sql)
    case 'zoned':
    case 'unseen':
      return raw`concat('z', @@time_zone, ' ', ${guess(sql)})`
    default:
      return raw`if(charset(${sql}) = 'binary', cast(${sql} as char), '')`
  }
}

/**
 * The condition that a row holds the position, by keys of the types that we know. A migration may have made an ENUM of a text
 * since: its number is not that of the text.
 */
export function isSurelyAt(keys: readonly OrderKey[], isAt: OperationNode): OperationNode {
  const texts = keys.filter(({ type }) => type === 'string')
  const tells = texts.map(({ sql }) => raw`(${sql} + 0 <=> cast(${sql} as char) + 0)`)
  return joined([isAt, ...tells], ' and ')
}

/** The text of a number. A temporary table cuts it at 23 characters unless its length is given; a double may have 34. */
function textOf(number: OperationNode): OperationNode {
  return raw`cast(${number} as char(80))`
}

/**
 * `x` and bytes, `c` and a text with its charset and collation, `n` and a number,
 * `d` and a double, or `s` and a text in ASCII. Bytes stay
 * binary beside a text, and numbers do not; a bit field is a different number than its text. A DECIMAL compares by the digits
 * that it shows, a FLOAT by digits that it does not show. A text that is made of constants only has no collation that would
 * win over that of a parameter. The text is empty for an ENUM or a SET whose column was not found: its number is not that
 * of its text.
 */
function guess(key: OperationNode): OperationNode {
  const text = textOf(key)
  const bytes = raw`concat(${key})`
  const number = raw`${key} + 0e0`
  const numeric = raw`if(cast(${text} as decimal(65, 30)) = ${key}, concat('n', ${text}), concat('d', ${textOf(number)}))`
  const literal = raw`concat('c', cast(charset(${key}) as char), '/', cast(collation(${key}) as char), '/', hex(${key}))`
  return raw`case when charset(${key}) <> 'binary' then case when ${number} <> ${text} + 0e0 then '' when coercibility(${key}) >= 4 then ${literal} else concat('x', hex(${key})) end when charset(${bytes}) = 'binary' then if(${bytes} + 0e0 = ${number}, concat('x', hex(${bytes})), concat('n', cast(${key} as unsigned))) when ${text} = cast(cast(${key} as signed) as char) then concat('n', ${text}) when ${text} regexp '^-?[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?$' then ${numeric} else concat('s', ${text}) end`
}

/**
 * Marks the text by what it is, so that a cursor of another type is recognised: `n` a number, `s` a date, an address or
 * another text in ASCII, `t` the seconds of a TIMESTAMP. Bytes and the labels of ENUMs are hexadecimal in the row, which is
 * twice as long as a cursor needs them: `u` is text in UTF-8, `b` is base64. Without a mark it is no text of the type.
 */
function packed(row: Row, at: number, { type = 'computed' }: OrderKey): string | null {
  const text = textIn(row, at)
  if (text === null) return null
  if (typeof type === 'object') {
    const [index = '', hex = ''] = text.split(' ')
    const label = Buffer.from(hex, 'hex').toString()
    if (index === '0' && label === '') return 'E'
    return type.labels[Number(index) - 1] === label ? `u${label}` : ''
  }
  switch (type) {
    case 'integer':
    case 'number':
    case 'set':
      return /[.e]/.test(text) ? '' : `n${text}`
    case 'double':
      return `n${text}`
    case 'plain':
      return `s${text}`
    case 'timestamp':
      return `t${text}`
    case 'string':
    case 'bytes':
      return text.startsWith('x') ? packedBytes(text) : ''
    case 'computed':
      return packedBytes(text)
    case 'zoned':
    case 'unseen': {
      const start = text.indexOf(' ') + 1
      const content = packedBytes(text.slice(start))
      const needsZone = type === 'zoned' || content.startsWith('s')
      return needsZone && content !== '' ? text.slice(0, start) + content : content
    }
    case 'opaque':
      return text
    default:
      // The text of a FLOAT has any number of digits.
      return (text.split('.')[1] ?? '').length === Number(type.slice('decimal:'.length)) ? `n${text}` : ''
  }
}

function packedBytes(text: string): string {
  if (!text.startsWith('x')) return text
  const bytes = Buffer.from(text.slice(1), 'hex')
  const decoded = bytes.toString('utf8')
  return Buffer.from(decoded).equals(bytes) ? `u${decoded}` : `b${bytes.toString('base64')}`
}

/** The letters that mark the texts of each type. */
function marksOf(type: MysqlType): string {
  if (typeof type === 'object') return 'uE'
  switch (type) {
    case 'plain':
    case 'opaque':
      return 's'
    case 'timestamp':
      return 't'
    case 'string':
    case 'bytes':
      return 'ub'
    case 'computed':
      return 'ndsubc'
    case 'zoned':
      return 'z'
    case 'unseen':
      return 'zndubc'
    default:
      return 'n'
  }
}

const patterns: { readonly [Mark in string]?: RegExp } = {
  s: /^s[ -~]*$/,
  n: /^n-?\d{1,65}(\.\d{1,65})?(e[+-]?\d+)?$/,
  d: /^d-?\d{1,65}(\.\d{1,65})?(e[+-]?\d+)?$/,
  t: /^t\d{1,10}(\.\d{1,6})?$/,
  E: /^E$/,
}

/** A date, a time, a UUID or an address: each has one separator twice at least. */
const plainPattern = /^s-?[\da-f]*([:.-])[\da-f]*\1[\da-f:. -]*$/i

/** Whether a key of some type is written as this text. */
export function isWritten(text: string): boolean {
  const mark = text[0] ?? ''
  return mark !== '' && 'ndsubctzE'.includes(mark) && patterns[mark]?.test(text) !== false
}

/** Whether the key is written as this text. */
export function fitsType(text: string, { type = 'computed' }: OrderKey): boolean {
  const mark = text[0] ?? ''
  if ((type === 'plain' || type === 'opaque') && !plainPattern.test(text)) return false
  return isWritten(text) && marksOf(type).includes(mark) && (typeof type !== 'object' || indexOf(text, type) >= 0)
}

function equals(key: OrderKey, text: string): OperationNode {
  const { sql, type = 'computed' } = key
  if (type === 'timestamp') return isZeroTimestamp(text) ? raw`${sql} = ${zeroTimestamp}` : timestampAt(key, text)
  if (typeof type === 'object') {
    const index = indexOf(text, type)
    const label = labelsOf(type.labels)?.[index - 1]
    return label === undefined ? raw`${sql} + 0 = ${parameter(index)}` : raw`${sql} = ${parameter(label)}`
  }
  if (type === 'set') return raw`${sql} + 0 = ${readKey(text, key)}`
  return raw`${sql} = ${readKey(text, key)}`
}

function beyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  const { sql, type = 'computed', isDescending } = key
  if (type === 'timestamp') return timestampBeyond(key, text, isInclusive)
  if (typeof type === 'object') {
    const labels = labelsOf(type.labels)
    const index = indexOf(text, type)
    if (labels !== undefined) {
      // The text of the index 0, which MariaDB writes for a label that is none, is empty.
      const ordered = ['', ...labels]
      const rest = isDescending
        ? ordered.slice(0, isInclusive ? index + 1 : index)
        : ordered.slice(isInclusive ? index : index + 1)
      if (rest.length === 0) return sqlText('0 = 1')
      return raw`${sql} in (${joined(rest.map(parameter), ', ')})`
    }
  }
  if (typeof type === 'object' || type === 'set') {
    return beyondValue({ ...key, sql: raw`${sql} + 0` }, readKey(text, key), isInclusive)
  }
  return beyondValue(key, readKey(text, key), isInclusive)
}

/** The labels of an ENUM, if conditions on labels find the rows: by an index, where conditions on numbers do not. */
function labelsOf(labels: readonly string[]): readonly string[] | undefined {
  return labels.length <= 64 && labels.every((label) => /^[ -~]+$/.test(label)) ? labels : undefined
}

/** The number by which MariaDB sorts the label: 0 for a label that is none, and -1 if the ENUM does not have it. */
function indexOf(text: string, type: MysqlType): number {
  if (text === 'E') return 0
  const at = typeof type === 'object' ? type.labels.indexOf(text.slice(1)) : -1
  return at < 0 ? at : at + 1
}

function readKey(text: string, { type = 'computed' }: OrderKey): OperationNode {
  if (typeof type === 'object') return parameter(indexOf(text, type))
  const content = text.slice(1)
  switch (type) {
    case 'integer':
    case 'number':
    case 'double':
    case 'set':
      return readNumber(content, type === 'double')
    case 'timestamp':
      return secondsOf(text)
    case 'plain':
      return parameter(content)
    case 'zoned':
    case 'unseen':
      return readMarked(text.startsWith('z') ? text.slice(text.indexOf(' ') + 1) : text)
    default:
      return readMarked(text)
  }
}

function readMarked(text: string): OperationNode {
  const content = text.slice(1)
  switch (text[0]) {
    case 'n':
    case 'd':
      return readNumber(content, text[0] === 'd')
    case 's':
      return parameter(content)
    case 'u':
      return raw`unhex(${parameter(Buffer.from(content).toString('hex'))})`
    case 'b':
      return raw`unhex(${parameter(Buffer.from(content, 'base64').toString('hex'))})`
    case 'c': {
      const literal = /^(\w{1,32})\/(\w{1,64})\/((?:[\dA-F]{2})*)$/.exec(content)
      if (literal !== null) return sqlText(`_${literal[1]} x'${literal[3]}' collate ${literal[2]}`)
    }
  }
  throw unreadable()
}

function readNumber(text: string, isDouble: boolean): OperationNode {
  const number = /^-?(\d{1,65})(?:\.(\d{1,65}))?(e[+-]?\d+)?$/.exec(text)
  if (number === null) throw unreadable()
  const [, whole = '', fraction = '', exponent] = number
  const digits = whole.length + fraction.length
  if (isDouble || exponent !== undefined || digits > 65 || fraction.length > 38) return raw`(${parameter(text)} + 0e0)`
  if (fraction === '' && digits <= 18) return raw`cast(${parameter(text)} as signed)`
  return raw(['cast(', ` as decimal(${digits}, ${fraction.length}))`], parameter(text))
}

// A TIMESTAMP compares with any value as the session's local time, in which an hour is repeated when daylight saving ends;
// it sorts by its instant. `unix_timestamp()` is the instant, but no index finds it: so each condition has both. The bounds
// are three hours wide where the offset of the zone changes near the instant.

const zeroTimestamp = /* @__PURE__ */ sqlText("'0000-00-00 00:00:00'")

function isZeroTimestamp(text: string): boolean {
  return /^t0(\.0+)?$/.test(text)
}

function secondsOf(text: string): OperationNode {
  return raw`cast(${parameter(text.slice(1))} as decimal(20, 6))`
}

/** Through a derived table, the zero timestamp has the instant NULL. */
function instantOf(sql: OperationNode): OperationNode {
  return raw`coalesce(unix_timestamp(${sql}), 0)`
}

function localBound(seconds: OperationNode, sign: '-' | '+'): OperationNode {
  const isSteady = raw`timestampdiff(second, from_unixtime(${seconds} - 10800), from_unixtime(${seconds} + 10800)) = 21600`
  const local = raw`from_unixtime(${seconds})`
  return raw(['if(', ', ', ', ', ` ${sign} interval 3 hour)`], isSteady, local, local)
}

function timestampAt({ sql }: OrderKey, text: string): OperationNode {
  const seconds = secondsOf(text)
  return raw`${sql} between ${localBound(seconds, '-')} and ${localBound(seconds, '+')} and ${instantOf(sql)} = ${seconds}`
}

function timestampBeyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  const { sql, isDescending } = key
  const instant = beyondValue({ ...key, sql: instantOf(sql) }, secondsOf(text), isInclusive)
  if (isZeroTimestamp(text)) return beyondValue(key, zeroTimestamp, isInclusive)
  const bound = localBound(secondsOf(text), isDescending ? '+' : '-')
  return isDescending ? raw`(${sql} <= ${bound} and ${instant})` : raw`(${sql} >= ${bound} and ${instant})`
}
