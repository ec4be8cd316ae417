import type { OperationNode, RawNode } from 'kysely'
import type { OrderKey } from '../seek/sort-keys.ts'
import { joined, raw, sqlText } from '../seek/sql-nodes.ts'

/** Keeps NULL: under `sql_mode = 'ORACLE'`, `concat()` ignores it. */
export function unlessNull(sql: OperationNode, text: OperationNode): OperationNode {
  return raw`if(${sql} <=> null, null, ${text})`
}

/** `-` if the key is a text. */
export function unlessText(sql: OperationNode, text: OperationNode): OperationNode {
  return raw`if(charset(${sql}) = 'binary', ${text}, '-')`
}

/**
 * The condition that a row stands at the position. A migration may have turned a text column into an ENUM since it was
 * looked up. Then the condition fails: an ENUM's number is not the number of its text.
 */
export function isSurelyAt(keys: readonly OrderKey[], isAt: OperationNode): OperationNode {
  const texts = keys.filter(({ type }) => type === 'string')
  const tells = texts.map(({ sql }) => raw`(${sql} + 0 <=> convert(${sql} using utf8mb4) + 0)`)
  return joined([isAt, ...tells], ' and ')
}

/**
 * The text of a number, a date, a UUID or an address. The length is given, because a temporary table would cut a number
 * at 23 characters, and a double may have 34. The character set is given, because under `names binary` the text would be
 * bytes, padded to that length.
 */
export function textOf(key: OperationNode): OperationNode {
  return raw`cast(${key} as char(80) character set ascii)`
}

/**
 * The text of a number as a double. MySQL writes at most 22 characters, too few for some negative numbers and long
 * exponents. So the sign is written apart. A tiny number is multiplied by a power of two, and marked with `p`.
 */
export function doubleText(key: OperationNode): OperationNode {
  const number = raw`${key} + 0e0`
  const size = raw`abs(${number})`
  // `''` would be NULL under `sql_mode = 'EMPTY_STRING_IS_NULL'`.
  const sign = raw`left('-', ${number} < 0)`
  return textOf(
    raw`if(${size} < 1e-90 and ${size} > 0, concat('p', ${sign}, ${textOf(raw`${size} * ${tinyScale}`)}), concat(${sign}, ${textOf(size)}))`,
  )
}

/** 2 to the power of 1000: the product loses no digit. */
export const tinyScale: RawNode = /* @__PURE__ */ sqlText('1.0715086071862673e301')

/**
 * Finds the type of a key without a known column, and writes the key as:
 *
 * - `x` and the bytes of a text or of a binary value: `concat()` keeps such a value binary, but not a number
 * - `c` and a text made of constants only, with its charset and collation: its own collation would not win over a
 *   parameter's
 * - `n` and a number: an integer, a DECIMAL (it compares by the digits that it shows), or a bit field (its text is
 *   another number)
 * - `d` and a double, also for a FLOAT: it compares by digits that it does not show
 * - `p` and a tiny double
 * - `j` and the bytes of JSON
 * - `s` and a text in ASCII
 * - `#` for an ENUM or SET whose column was not found, unless its number is that of its text
 *
 * @param rest - the text of a key that is neither bytes, a text nor a number
 */
export function guess(key: OperationNode, rest: OperationNode): OperationNode {
  const text = textOf(key)
  const bytes = raw`concat(${key})`
  const number = raw`${key} + 0e0`
  // Under `names binary`, numbers and dates become bytes too. The patterns have `{0,1}` instead of `?`, because `mysql2`
  // before 3.17 and Knex take each question mark for a parameter, even within quotes.
  const isBytes = raw`charset(${bytes}) = 'binary' and (@@character_set_connection <> 'binary' or convert(${bytes} using latin1) not regexp _ascii'^-{0,1}[0-9]' or (coercibility(${key}) < 5 and ${bytes} + 0e0 = ${number}))`
  // The text is cast, because MySQL fails for a double that is too large for `cast(… as signed)`. The last condition
  // excludes bit fields, whose text is another number.
  const isInteger = raw`${text} = ${textOf(raw`cast(${text} as signed)`)} and ${text} + 0e0 = ${number}`
  const double = doubleText(key)
  const numeric = raw`if(cast(${text} as decimal(65, 30)) = ${key}, concat('n', ${text}), concat(left('d', ${double} not like 'p%'), ${double}))`
  const literal = raw`concat('c', cast(charset(${key}) as char), '/', cast(collation(${key}) as char), '/', hex(${key}))`
  const textual = raw`case when ${key} <> ${bytes} then ${json(key)} when ${number} <> ${text} + 0e0 then '#' when coercibility(${key}) >= 4 then ${literal} else concat('x', hex(${key})) end`
  return raw`case when charset(${key}) <> 'binary' then ${textual} when ${isBytes} then if(${bytes} + 0e0 = ${number}, concat('x', hex(${bytes})), concat('n', cast(${key} as unsigned))) when ${isInteger} then concat('n', ${text}) when ${text} regexp _ascii'^-{0,1}[0-9]+([.][0-9]+){0,1}(e[+-]{0,1}[0-9]+){0,1}$' then ${numeric} when left(${text}, 1) in (_ascii'"', _ascii'[', _ascii'{') or ${text} in (_ascii'true', _ascii'false', _ascii'null') then ${json(key)} else ${rest} end`
}

/**
 * MySQL's JSON is not a text: the value of an expression differs from its own text, and the value of a column is not
 * bytes. Arrays and objects have no text here, because a sort compares only their sizes. Dates have none, because JSON
 * text cannot hold one.
 */
function json(key: OperationNode): OperationNode {
  // MySQL reads the text of a constant as JSON before it knows that no row needs it.
  const value = raw`if(${key} <> concat(${key}), ${key}, null)`
  const isScalar = raw`json_type(${value}) not in (_ascii'ARRAY', _ascii'OBJECT')`
  return raw`if(${isScalar} and json_extract(concat(${value}), _utf8mb4'$') = json_extract(json_array(${value}), _utf8mb4'$[0]'), concat('j', hex(${key})), '-')`
}
