import type { OperationNode } from 'kysely'
import type { Row } from '../seek/query-runner.ts'
import type { OrderKey } from '../seek/sort-keys.ts'
import { asColumn, joined, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { beyondValue, hasNoText, type KeyText, textIn, unreadable } from './key-text.ts'
import {
  localTimeOf,
  orZeroDate,
  secondsOf,
  timeAt,
  timeBeyond,
  timePattern,
  timestampAt,
  timestampBeyond,
} from './mysql-times.ts'
import type { MysqlType } from './mysql-types.ts'
import { tinyScale, write } from './mysql-writing.ts'

/**
 * MariaDB sorts some types otherwise than it compares them with text, and it compares a text with a number as doubles. So
 * keys are written and compared by the type of their column. For a key without a column, the statement finds the type by
 * conversions, and shows it in the first letter of the text.
 */
export const mysql: KeyText = {
  columns: (keys) => keys.map((key, at) => asColumn(write(key), `posthastek${at}`)),
  positionOf: (row, keys) => keys.map((key, at) => packed(row, at, key)),
  isNullIn: hasNoText,
  // `is null` also finds the date 0000-00-00 in a NOT NULL column.
  isNull: ({ sql }) => raw`${sql} <=> null`,
  equals,
  beyond,
  read: readKey,
}

/** The time zone of the session that wrote the text of a key, if the key may depend on it. */
export function zoneOfKey(text: string, { type }: OrderKey): string | undefined {
  return type === 'zoned' && text.startsWith('z') ? text.slice(1, text.indexOf(' ')) : undefined
}

/** The text without the time zone. */
function unzoned(text: string): string {
  return text.startsWith('z') ? text.slice(text.indexOf(' ') + 1) : text
}

/**
 * Marks the text by its type, so that a cursor of another type is recognised:
 *
 * - `n` a number
 * - `s` a date, an address or another text in ASCII
 * - `t` the seconds of a TIMESTAMP
 * - `u` text in UTF-8, `b` bytes in base64: the row has both in hexadecimal, which would make a cursor twice as long
 *
 * Returns an empty text if the row's text is not of the type.
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
      return text.startsWith('p') ? text : `n${text}`
    case 'plain':
      return `s${text}`
    case 'timestamp':
      return `t${text}`
    case 'string':
    case 'bytes':
      return text.startsWith('x') ? packedBytes(text) : ''
    case 'computed':
      return packedBytes(text)
    case 'zoned': {
      const start = text.indexOf(' ') + 1
      return text.slice(0, start) + packedBytes(text.slice(start))
    }
    case 'opaque':
      return text
    default:
      // Refuse another number of digits after the decimal point: the column may have become a FLOAT.
      return (text.split('.')[1] ?? '').length === Number(type.slice('decimal:'.length)) ? `n${text}` : ''
  }
}

function packedBytes(text: string): string {
  if (text.startsWith('j')) return `j${Buffer.from(text.slice(1), 'hex')}`
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
      return 'ndpsubcj'
    case 'zoned':
      // Positions of `decodeLegacy` have no zone.
      return 'zndpubj'
    case 'double':
      return 'np'
    default:
      return 'n'
  }
}

const patterns: { readonly [Mark in string]?: RegExp } = {
  s: /^s[ -~]*$/,
  n: /^n-?\d{1,65}(\.\d{1,65})?(e[+-]?\d+)?$/,
  d: /^d-?\d{1,65}(\.\d{1,65})?(e[+-]?\d+)?$/,
  p: /^p-?\d{1,65}(\.\d{1,65})?(e[+-]?\d+)?$/,
  t: /^t\d{1,10}(\.\d{1,6})?$/,
  i: timePattern,
  E: /^E$/,
}

/** A date, a time, a UUID or an address: each has the same separator at least twice. */
const plainPattern = /^s-?[\da-f]*([:.-])[\da-f]*\1[\da-f:. -]*$/i

/** Whether a key of any type can have this text. */
export function isWritten(text: string): boolean {
  const content = unzoned(text)
  const mark = content[0] ?? ''
  return mark !== '' && 'ndpsubctijE'.includes(mark) && patterns[mark]?.test(content) !== false
}

/** Whether this key can have this text. */
export function fitsType(text: string, { type = 'computed' }: OrderKey): boolean {
  const mark = text[0] ?? ''
  if ((type === 'plain' || type === 'opaque') && !plainPattern.test(text)) return false
  return isWritten(text) && marksOf(type).includes(mark) && (typeof type !== 'object' || indexOf(text, type) >= 0)
}

function equals(key: OrderKey, text: string): OperationNode {
  const { sql, type = 'computed' } = key
  if (type === 'timestamp') return timestampAt(key, text)
  if (typeof type === 'object') {
    const index = indexOf(text, type)
    const label = labelsOf(type.labels)?.[index - 1]
    return label === undefined ? raw`${sql} + 0 = ${parameter(index)}` : raw`${sql} = ${parameter(label)}`
  }
  if (type === 'set') return raw`${sql} + 0 = ${readKey(text, key)}`
  if (type === 'zoned' && timePattern.test(unzoned(text))) return timeAt(key, unzoned(text))
  return raw`${sql} = ${readKey(text, key)}`
}

function beyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  const { sql, type = 'computed', isDescending } = key
  if (type === 'timestamp') return timestampBeyond(key, text, isInclusive)
  if (typeof type === 'object') {
    const labels = labelsOf(type.labels)
    const index = indexOf(text, type)
    if (labels !== undefined) {
      // MariaDB gives an invalid label the index 0 and an empty text.
      const ordered = ['', ...labels]
      const rest = isDescending
        ? ordered.slice(0, isInclusive ? index + 1 : index)
        : ordered.slice(isInclusive ? index : index + 1)
      if (rest.length === 0) return sqlText('0 = 1')
      return raw`${sql} in (${joined(
        rest.map((label) => (label === '' ? emptyText : parameter(label))),
        ', ',
      )})`
    }
  }
  if (typeof type === 'object' || type === 'set') {
    return beyondValue({ ...key, sql: raw`${sql} + 0` }, readKey(text, key), isInclusive)
  }
  if (type === 'zoned' && timePattern.test(unzoned(text))) return timeBeyond(key, unzoned(text), isInclusive)
  const isBeyond = beyondValue(key, readKey(text, key), isInclusive)
  const mayBeDate = (type === 'computed' || type === 'zoned') && /^s\d{4}-/.test(unzoned(text))
  // In descending order, no date follows the zero date.
  const isLast = !isInclusive && /^s0000-00-00(?: 00:00:00(?:\.0+)?)?$/.test(unzoned(text))
  return mayBeDate && !isLast ? orZeroDate(key, isBeyond) : isBeyond
}

/** The labels of an ENUM, if conditions on labels can be used. Those can use an index, conditions on numbers cannot. */
function labelsOf(labels: readonly string[]): readonly string[] | undefined {
  return labels.length <= 64 && labels.every((label) => /^[ -~]+$/.test(label)) ? labels : undefined
}

/** The number by which MariaDB sorts the label: 0 for an invalid label, and -1 if the ENUM does not have the label. */
function indexOf(text: string, type: MysqlType): number {
  if (text === 'E') return 0
  const at = typeof type === 'object' ? type.labels.indexOf(text.slice(1)) : -1
  return at < 0 ? at : at + 1
}

function readKey(text: string, key: OrderKey): OperationNode {
  const { type = 'computed' } = key
  if (typeof type === 'object') return parameter(indexOf(text, type))
  const content = text.slice(1)
  switch (type) {
    case 'integer':
    case 'number':
    case 'set':
      return readNumber(content, false)
    case 'double':
      return text.startsWith('p') ? readMarked(text, key) : readNumber(content, true)
    case 'timestamp':
      return secondsOf(text)
    case 'plain':
      return readText(content)
    case 'zoned':
      return readResult(unzoned(text), key)
    default:
      return readResult(text, key)
  }
}

/**
 * If the database moves a condition into another query, it compares a value before it rounds the value to the type of the
 * result. Then an average has more digits than the average that rows are sorted by. A condition with a sub-select is not
 * moved.
 */
function readResult(text: string, key: OrderKey): OperationNode {
  // The key may also be a column of a view. Then an index should still find whole numbers, times and texts.
  const mayBeResult = key.type === 'zoned' && /^(?:[dp]|n.*[.e])/.test(text)
  const value = readMarked(text, key)
  return key.inner === 'result' || mayBeResult ? raw`(select phv from (select ${value} as phv limit 1) as phr)` : value
}

function readMarked(text: string, key: OrderKey): OperationNode {
  const content = text.slice(1)
  switch (text[0]) {
    case 'n':
    case 'd':
      return readNumber(content, text[0] === 'd')
    case 'p':
      return raw`(${readNumber(content, true)} / ${tinyScale})`
    case 'j':
      return raw`json_extract(convert(${readBytes(Buffer.from(content), key)} using utf8mb4), _utf8mb4'$')`
    case 's':
      return timeOfDayPattern.test(content) ? raw`cast(${readText(content)} as time(6))` : readText(content)
    case 'u':
      return readBytes(Buffer.from(content), key)
    case 'b':
      return readBytes(Buffer.from(content, 'base64'), key)
    case 'i':
      return localTimeOf(text)
    case 'c': {
      const literal = /^(\w{1,32})\/(\w{1,64})\/((?:[\dA-F]{2})*)$/.exec(content)
      if (literal !== null) return sqlText(`_${literal[1]} x'${literal[3]}' collate ${literal[2]}`)
    }
  }
  throw unreadable()
}

/**
 * Under `names binary`, a parameter is bytes, and bytes make another address or UUID than their text. In its default
 * mode, MySQL refuses the text of a zero date, but not its number.
 */
function readText(text: string): OperationNode {
  if (zeroDatePattern.test(text)) return sqlText(text.replaceAll(/[- :]/g, ''))
  return raw`convert(${parameter(text)} using ascii)`
}

/** MySQL would compare an expression with such a text letter by letter, and put `-01:00:00` before `-02:00:00`. */
const timeOfDayPattern = /^-?\d{2,3}:\d\d:\d\d(?:\.\d{1,6})?$/

/** A date whose month or day is zero, with or without a time. */
const zeroDatePattern = /^\d{4}-(?:00-\d\d|\d\d-00)(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?)?$/

/** Under `sql_mode = 'EMPTY_STRING_IS_NULL'`, `''` is NULL. */
const emptyText = /* @__PURE__ */ sqlText("x''")

/**
 * MariaDB 10.5 may move the condition into a view or another query, and convert the bytes to the character set of a
 * column there. If the bytes are the result of a function, it then finds no rows. A literal is converted earlier.
 */
function readBytes(bytes: Buffer, { inner, type }: OrderKey): OperationNode {
  if (bytes.length === 0) return emptyText
  const hex = bytes.toString('hex')
  // A key of type `zoned` may be a column of a view.
  return inner === 'column' || type === 'zoned' ? sqlText(`x'${hex}'`) : raw`unhex(${parameter(hex)})`
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
