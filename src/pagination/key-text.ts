import type { OperationNode } from 'kysely'
import { CursorInvalidError } from './errors.ts'
import { raw, value } from './raw.ts'
import type { SqlDialect } from './types.ts'

/**
 * How a key travels in a cursor: as text that the database itself wrote, and that it reads back without loss. JavaScript
 * never sees the value, because its types lose microseconds, integers beyond 2^53 and decimals.
 */
export interface KeyText {
  /** The expression that writes the key as text; NULL stays NULL. */
  write(key: OperationNode): OperationNode
  /** The condition that the key is NULL. */
  isNull(key: OperationNode): OperationNode
  /**
   * The expression that reads the text back, as a parameter of a known type.
   *
   * @throws CursorInvalidError when `write` cannot have written it
   */
  read(text: string): OperationNode
}

/** `<type's oid>:<text>`. Types that are not listed (enums, domains, citext) are read as what the column itself is. */
const postgres: KeyText = {
  isNull,
  write: (key) => raw`pg_typeof(${key})::oid || ':' || (${key})::text`,
  read(text) {
    const colon = text.indexOf(':')
    const type = text.slice(0, colon)
    const written = value(text.slice(colon + 1))
    const cast = postgresCasts.get(type)
    // By way of text: some drivers re-encode a parameter of type timestamptz through Date, and lose its microseconds.
    if (cast !== undefined) return raw(['', cast], written)
    if (!/^\d{1,10}$/.test(type)) throw unreadable()
    return written
  },
}

const postgresCasts: ReadonlyMap<string, string> = new Map(
  Object.entries({
    16: 'bool',
    17: 'bytea',
    18: '"char"',
    19: 'name',
    20: 'int8',
    21: 'int2',
    23: 'int4',
    25: '',
    26: 'oid',
    650: 'cidr',
    700: 'float4',
    701: 'float8',
    829: 'macaddr',
    869: 'inet',
    1042: 'bpchar',
    1043: '',
    1082: 'date',
    1083: 'time',
    1114: 'timestamp',
    1184: 'timestamptz',
    1186: 'interval',
    1266: 'timetz',
    1700: 'numeric',
    2950: 'uuid',
    3220: 'pg_lsn',
    3802: 'jsonb',
  }).map(([oid, name]) => [oid, name === '' ? '::text' : `::text::${name}`]),
)

/**
 * Text with a `t` before it, anything else as an SQL literal: SQLite compares by the class of a value, not by a type. What
 * JavaScript has exactly goes as it is, because a literal made for every row would take half the time of reading it. `+`,
 * so that a column of texts does not turn the bounds into texts.
 */
const sqlite: KeyText = {
  // Of a column that is NOT NULL, `is null` is planned as a scan that never runs; a parameter is looked up in the index.
  isNull: (key) => raw`${key} is ${value(null)}`,
  write: (key) =>
    raw`case when +${key} between -9007199254740991 and 9007199254740991 then ${key} when typeof(${key}) = 'text' then 't' || ${key} when ${key} is null then null else quote(${key}) end`,
  read(text) {
    if (text.startsWith('t')) return value(text.slice(1))
    if (/^-?\d{1,19}$/.test(text)) return value(integer(text))
    if (/^-?\d+(\.\d+)?(e[+-]\d+)?$/.test(text)) return value(Number(text))
    const blob = /^X'((?:[\dA-F]{2})*)'$/.exec(text)
    if (blob === null) throw unreadable()
    return value(Buffer.from(blob[1] as string, 'hex'))
  },
}

function integer(text: string): number | bigint {
  const exact = BigInt(text)
  if (BigInt.asIntN(64, exact) !== exact) throw unreadable()
  return Number.isSafeInteger(Number(text)) ? Number(text) : exact
}

/** ISO 8601 for times, all digits for the rest; the column's type takes precedence when it is compared. */
const mssql: KeyText = {
  isNull,
  write: (key) => raw`convert(nvarchar(4000), ${key}, 126)`,
  read: (text) => value(text),
}

/**
 * `x` and bytes, `n` and a number, `s` and text. MySQL has no name for the type of an expression, so it is told by how it
 * converts: bytes stay binary beside text, numbers do not; a bit field or an enum is another number than its text. A FLOAT is
 * written as the double that it is compared as, and an enum as the index that it is sorted by. Whole numbers come before
 * the regular expression, which takes as long as the rest of the page.
 */
const mysql: KeyText = {
  isNull,
  write(key) {
    const text = raw`cast(${key} as char)`
    const bytes = raw`concat(${key})`
    const number = raw`${key} + 0e0`
    const numeric = raw`if(${text} + 0e0 = ${number}, ${text}, ${number})`
    return raw`case when charset(${key}) <> 'binary' then if(${text} + 0e0 = ${number}, concat('s', ${text}), concat('n', ${number})) when charset(${bytes}) = 'binary' then if(${bytes} + 0e0 = ${number}, concat('x', hex(${bytes})), concat('n', cast(${key} as unsigned))) when ${text} = cast(cast(${key} as signed) as char) then concat('n', ${text}) when ${text} regexp '^-?[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?$' then concat('n', ${numeric}) else concat('s', ${text}) end`
  },
  read(text) {
    const written = value(text.slice(1))
    if (text.startsWith('s')) return written
    if (/^x(?:[\dA-F]{2})*$/.test(text)) return raw`unhex(${written})`
    const number = /^n-?(\d{1,65})(?:\.(\d{1,30}))?(e[+-]?\d+)?$/.exec(text)
    if (number === null) throw unreadable()
    const [, whole = '', fraction = '', exponent] = number
    const digits = whole.length + fraction.length
    // A string is compared with a number as a double, unless it is told to be exact.
    if (exponent !== undefined || digits > 65) return raw`(${written} + 0e0)`
    if (fraction === '' && digits <= 18) return raw`cast(${written} as signed)`
    return raw(['cast(', ` as decimal(${digits}, ${fraction.length}))`], written)
  },
}

export const keyTexts: { readonly [Dialect in SqlDialect]: KeyText } = { postgres, sqlite, mysql, mssql }

function isNull(key: OperationNode): OperationNode {
  return raw`${key} is null`
}

function unreadable(): CursorInvalidError {
  return new CursorInvalidError('The cursor holds a key that cannot be read')
}
