import type { OperationNode } from 'kysely'
import type { OrderKey } from '../seek/sort-keys.ts'
import { asColumn, joined, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { beyondValue, hasNoText, type KeyText, textIn, unreadable } from './key-text.ts'
import {
  instantOf,
  localTimeOf,
  orZeroDate,
  secondsOf,
  timeAt,
  timeBeyond,
  timeOf,
  timePattern,
  timestampAt,
  timestampBeyond,
} from './mysql-times.ts'
import type { MysqlType } from './mysql-types.ts'
import { doubleText, guess, textOf, tinyScale, unlessNull, unlessText } from './mysql-writing.ts'

/**
 * MariaDB sorts some types otherwise than it compares them with text, and it compares a text with a number as doubles. So
 * keys are written and compared by the type of their column. For a key without a column, the statement finds the type by
 * conversions, and shows it in the first letter of the text.
 */
export const mysql: KeyText = {
  columns: (keys) => keys.map((key, at) => asColumn(formOf(key).write(key.sql), `posthastek${at}`)),
  positionOf: (row, keys) =>
    keys.map((key, at) => {
      const text = textIn(row, at)
      return text === null ? null : formOf(key).pack(text, key)
    }),
  isNullIn: hasNoText,
  // `is null` also finds the date 0000-00-00 in a NOT NULL column.
  isNull: ({ sql }) => raw`${sql} <=> null`,
  equals,
  beyond,
  read,
}

/** How the keys of a type are written as text, and read back. */
interface TextForm {
  /** The SQL that writes a key as text. */
  write(sql: OperationNode): OperationNode
  /** Marks a row's text of the key. Returns an empty text if it is not of the type. */
  pack(text: string, key: OrderKey): string
  /** Of the texts that a key of any type can have, matches those that a key of this type can have. */
  readonly pattern: RegExp
  /** The SQL that reads the marked text back. */
  read(text: string, key: OrderKey): OperationNode
}

/** A date, a time, a UUID or an address: each has the same separator at least twice. */
const plainPattern = /^s-?[\da-f]*([:.-])[\da-f]*\1[\da-f:. -]*$/i

/**
 * A mark shows the type of a text, so that a cursor of another type is recognised:
 *
 * - `n` a number
 * - `s` a date, an address or another text in ASCII
 * - `t` the seconds of a TIMESTAMP
 * - `u` text in UTF-8, `b` bytes in base64: the row has both in hexadecimal, which would make a cursor twice as long
 * - `E` the invalid label of an ENUM
 * - `z` a key that may depend on the time zone: the zone, a space, and a text with a mark
 *
 * The others are those of {@link guess}, and that of {@link timeOf}.
 *
 * A migration may have changed the type of a column since it was looked up. If that shows, the row has the text `-`, which
 * no key has. (An empty text would be NULL under `sql_mode = 'EMPTY_STRING_IS_NULL'`.)
 */
const forms: { readonly [Family in Exclude<MysqlType, object | `decimal:${number}`> | 'decimal' | 'enum']: TextForm } =
  {
    integer: { write: numberText, pack: packInteger, pattern: /^n/, read: readMarked },
    number: {
      write: (sql) => unlessText(sql, raw`cast(${sql} + 0 as char)`),
      pack: packInteger,
      pattern: /^n/,
      read: readMarked,
    },
    set: { write: (sql) => raw`cast(${sql} + 0 as char)`, pack: packInteger, pattern: /^n/, read: readMarked },
    decimal: {
      write: numberText,
      // Refuse another number of digits after the decimal point: the column may have become a FLOAT.
      pack: (text, { type }) => (type === `decimal:${(text.split('.')[1] ?? '').length}` ? `n${text}` : ''),
      pattern: /^n/,
      read: readResult,
    },
    double: {
      write: (sql) => unlessNull(sql, unlessText(sql, doubleText(sql))),
      pack: (text) => (text.startsWith('p') ? text : `n${text}`),
      pattern: /^[np]/,
      read: (text, key) => (text.startsWith('p') ? readMarked(text, key) : readNumber(text.slice(1), true)),
    },
    plain: {
      write: textOf,
      pack: (text) => `s${text}`,
      pattern: plainPattern,
      read: (text) => readText(text.slice(1)),
    },
    opaque: {
      write: (sql) => unlessNull(sql, raw`concat('s', ${textOf(sql)})`),
      pack: (text) => text,
      pattern: plainPattern,
      read: readResult,
    },
    timestamp: {
      write: (sql) => unlessText(sql, raw`cast(${unlessNull(sql, instantOf(sql))} as char)`),
      pack: (text) => `t${text}`,
      pattern: /^t/,
      read: secondsOf,
    },
    string: {
      write: (sql) => unlessNull(sql, raw`concat(if(charset(${sql}) = 'binary', '-', 'x'), hex(${sql}))`),
      pack: packHex,
      pattern: /^[ub]/,
      read: readResult,
    },
    bytes: {
      write: (sql) => unlessNull(sql, raw`concat('x', hex(${sql}))`),
      pack: packHex,
      pattern: /^[ub]/,
      read: readResult,
    },
    enum: {
      write: (sql) => unlessNull(sql, raw`concat(${sql} + 0, ' ', hex(convert(${sql} using utf8mb4)))`),
      pack(text, { type }) {
        const [index = '', hex = ''] = text.split(' ')
        const label = Buffer.from(hex, 'hex').toString()
        if (index === '0' && label === '') return 'E'
        return labelsOf(type)[Number(index) - 1] === label ? `u${label}` : ''
      },
      pattern: /^[uE]/,
      read: (text, { type }) => parameter(indexOf(text, type)),
    },
    computed: {
      write: (sql) => unlessNull(sql, guess(sql, raw`concat('s', ${textOf(sql)})`)),
      pack: packGuessed,
      pattern: /^[ndpsubcj]/,
      read: readResult,
    },
    zoned: {
      write: (sql) => unlessNull(sql, raw`concat('z', @@time_zone, ' ', ${guess(sql, timeOf(sql, textOf(sql)))})`),
      pack(text) {
        const start = text.indexOf(' ') + 1
        return text.slice(0, start) + packGuessed(text.slice(start))
      },
      // Positions of `decodeLegacy` have no zone.
      pattern: /^[zndpubj]/,
      read: (text, key) => readResult(unzoned(text), key),
    },
  }

function formOf({ type = 'computed' }: OrderKey): TextForm {
  if (typeof type === 'object') return forms.enum
  return type.startsWith('decimal:') ? forms.decimal : forms[type as keyof typeof forms]
}

function numberText(sql: OperationNode): OperationNode {
  return unlessText(sql, raw`cast(${sql} as char)`)
}

function packInteger(text: string): string {
  return /[.e]/.test(text) ? '' : `n${text}`
}

function packHex(text: string): string {
  return text.startsWith('x') ? packGuessed(text) : ''
}

function packGuessed(text: string): string {
  if (text.startsWith('j')) return `j${Buffer.from(text.slice(1), 'hex')}`
  if (!text.startsWith('x')) return text
  const bytes = Buffer.from(text.slice(1), 'hex')
  const decoded = bytes.toString('utf8')
  return Buffer.from(decoded).equals(bytes) ? `u${decoded}` : `b${bytes.toString('base64')}`
}

/** The time zone of the session that wrote the text of a key, if the key may depend on it. */
export function zoneOfKey(text: string, { type }: OrderKey): string | undefined {
  return type === 'zoned' && text.startsWith('z') ? text.slice(1, text.indexOf(' ')) : undefined
}

/** The text without the time zone. */
function unzoned(text: string): string {
  return text.startsWith('z') ? text.slice(text.indexOf(' ') + 1) : text
}

/** Whether a key of any type can have this text. */
export function isWritten(text: string): boolean {
  return writtenPattern.test(unzoned(text))
}

/** Whether this key can have this text. */
export function fitsType(text: string, key: OrderKey): boolean {
  const { type } = key
  return isWritten(text) && formOf(key).pattern.test(text) && (typeof type !== 'object' || indexOf(text, type) >= 0)
}

/** For each mark, the texts with it. */
const writtenPattern =
  /^(?:[ubcj]|s[ -~]*$|[ndp]-?\d{1,65}(?:\.\d{1,65})?(?:e[+-]?\d+)?$|t\d{1,10}(?:\.\d{1,6})?$|i\d{1,11}(?:\.\d{1,6})? s[ -~]*$|E$)/

function equals(key: OrderKey, text: string): OperationNode {
  const { sql, type } = key
  if (type === 'timestamp') return timestampAt(key, text)
  if (type === 'zoned' && timePattern.test(unzoned(text))) return timeAt(key, unzoned(text))
  const label = indexableLabels(type)?.[indexOf(text, type) - 1]
  return label === undefined ? raw`${sorted(key).sql} = ${read(text, key)}` : raw`${sql} = ${parameter(label)}`
}

function beyond(key: OrderKey, text: string, isInclusive: boolean): OperationNode {
  const { type = 'computed' } = key
  if (type === 'timestamp') return timestampBeyond(key, text, isInclusive)
  if (type === 'zoned' && timePattern.test(unzoned(text))) return timeBeyond(key, unzoned(text), isInclusive)
  const labels = indexableLabels(type)
  if (labels !== undefined) return isLabelBeyond(key, labels, indexOf(text, type), isInclusive)
  const isBeyond = beyondValue(sorted(key), read(text, key), isInclusive)
  const mayBeDate = (type === 'computed' || type === 'zoned') && /^s\d{4}-/.test(unzoned(text))
  // In descending order, no date follows the zero date.
  const isLast = !isInclusive && /^s0000-00-00(?: 00:00:00(?:\.0+)?)?$/.test(unzoned(text))
  return mayBeDate && !isLast ? orZeroDate(key, isBeyond) : isBeyond
}

function isLabelBeyond(
  { sql, isDescending }: OrderKey,
  labels: readonly string[],
  index: number,
  isInclusive: boolean,
): OperationNode {
  // MariaDB gives an invalid label the index 0 and an empty text.
  const ordered = ['', ...labels]
  const rest = isDescending
    ? ordered.slice(0, isInclusive ? index + 1 : index)
    : ordered.slice(isInclusive ? index : index + 1)
  if (rest.length === 0) return sqlText('0 = 1')
  const values = rest.map((label) => (label === '' ? emptyText : parameter(label)))
  return raw`${sql} in (${joined(values, ', ')})`
}

/** The key as it is sorted: an ENUM or SET by its number. */
function sorted(key: OrderKey): OrderKey {
  return typeof key.type === 'object' || key.type === 'set' ? { ...key, sql: raw`${key.sql} + 0` } : key
}

function labelsOf(type: MysqlType | undefined): readonly string[] {
  return typeof type === 'object' ? type.labels : []
}

/** The labels of an ENUM, if conditions on labels can be used. Those can use an index, conditions on numbers cannot. */
function indexableLabels(type: MysqlType | undefined): readonly string[] | undefined {
  if (typeof type !== 'object') return undefined
  const { labels } = type
  return labels.length <= 64 && labels.every((label) => /^[ -~]+$/.test(label)) ? labels : undefined
}

/** The number by which MariaDB sorts the label: 0 for an invalid label, and -1 if the ENUM does not have the label. */
function indexOf(text: string, type: MysqlType | undefined): number {
  if (text === 'E') return 0
  const at = labelsOf(type).indexOf(text.slice(1))
  return at < 0 ? at : at + 1
}

function read(text: string, key: OrderKey): OperationNode {
  return formOf(key).read(text, key)
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

/** The zero date, or one whose month or day is zero, with or without a time. As numbers, other dates of year 0 are of 2000. */
const zeroDatePattern = /^(?:0000-00-00|(?!0000)\d{4}-(?:00-\d\d|\d\d-00))(?: \d\d:\d\d:\d\d(?:\.\d{1,6})?)?$/

/** Under `sql_mode = 'EMPTY_STRING_IS_NULL'`, `''` is NULL. */
const emptyText = /* @__PURE__ */ sqlText("x''")

/**
 * MariaDB 10.5 may move the condition into a view or another query, and convert the bytes to the character set of a
 * column there. If the bytes are the result of a function, it then finds no rows. A literal is converted earlier.
 */
function readBytes(bytes: Buffer, { inner, type, collation }: OrderKey): OperationNode {
  if (bytes.length === 0) return emptyText
  const hex = bytes.toString('hex')
  // These keys may be columns of a view.
  return inner === 'column' || type === 'zoned' || collation !== undefined
    ? sqlText(`x'${hex}'`)
    : raw`unhex(${parameter(hex)})`
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
