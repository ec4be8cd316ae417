import type { OperationNode } from 'kysely'
import type { Row } from '../seek/query-runner.ts'
import type { ResolvedQuery } from '../seek/sort-keys.ts'
import { asColumn, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { beyondValue, hasNoText, type KeyText, textIn, textsIn, unreadable } from './key-text.ts'
import { comparable } from './sqlite-unions.ts'

/**
 * SQLite compares by the storage class of a value, not by a type, so the text shows it:
 *
 * - `t` and a text
 * - in detailed statements, `h` and the bytes of a text that is not UTF-8, or `w` and the bytes of any text if the database
 *   is in UTF-16
 * - else a number or blob as an SQL literal; older versions write infinite numbers as `Inf`
 *
 * Integers that JavaScript holds exactly are not quoted, because `quote()` would take half the time of reading a row. The `+`
 * keeps a text column from turning the bounds into texts.
 */
export const sqlite: KeyText = {
  columns: (keys, isDetailed) =>
    keys.map(({ sql }, at) => {
      const [numbers, text] = isDetailed
        ? [sqlText(''), raw`case hex('t') when '74' then 'h' else 'w' end || hex(${sql})`]
        : [raw`when +${sql} between -9007199254740991 and 9007199254740991 then ${sql}`, raw`'t' || ${sql}`]
      return asColumn(
        raw`case ${numbers} when typeof(${sql}) = 'text' then ${text} when ${sql} is null then null else quote(${sql}) end`,
        `posthastek${at}`,
      )
    }),
  positionOf: (row, keys) => textsIn(row, keys).map((text) => (text?.startsWith('h') ? withoutHex(text) : text)),
  isNullIn: hasNoText,
  // On a NOT NULL column, `is null` is a scan in the plan, though it never runs. With a parameter, it is an index search.
  isNull: ({ sql }) => raw`${sql} is ${parameter(null)}`,
  equals: (key, text) => raw`${comparable(key, text).sql} = ${read(text)}`,
  beyond: (key, text, isInclusive) => beyondValue(comparable(key, text), read(text), isInclusive),
  read,
}

/** Decodes the bytes of a text if they are UTF-8. */
function withoutHex(text: string): string {
  const bytes = Buffer.from(text.slice(1), 'hex')
  const decoded = bytes.toString('utf8')
  return Buffer.from(decoded).equals(bytes) ? `t${decoded}` : text
}

/**
 * Whether a row may not show the exact value of a key: a text that is not UTF-8, or a number that the driver has cut.
 * Prisma's drivers make integers of all numbers in a column whose first number is an integer.
 */
export function lacksExactTexts(rows: readonly Row[], { keys }: ResolvedQuery): boolean {
  const isExact = (row: Row, at: number) =>
    typeof row[`posthastek${at}`] !== 'bigint' && textIn(row, at)?.includes(replacement) !== true
  return rows.some((row) => !keys.every((_key, at) => isExact(row, at)))
}

/** The character that a driver writes for bytes that are not UTF-8. */
export const replacement = '\uFFFD'

function read(text: string): OperationNode {
  if (text.startsWith('t')) return parameter(text.slice(1))
  if (/^-?\d{1,19}$/.test(text)) return parameter(integer(text))
  if (/^-?(?:Inf|\d+(?:\.\d+)?(?:e[+-]\d+)?)$/.test(text)) {
    const number = Number(text.replace('Inf', 'Infinity'))
    // Some drivers refuse infinite parameters, or send them as NULL.
    return Number.isFinite(number) ? parameter(number) : sqlText(number > 0 ? '9e999' : '-9e999')
  }
  const bytes = /^[hw]((?:[\dA-F]{2})*)$/.exec(text)
  if (bytes !== null) return raw`cast(${parameter(Buffer.from(bytes[1] as string, 'hex'))} as text)`
  const blob = /^X'((?:[\dA-F]{2})*)'$/.exec(text)
  if (blob === null) throw unreadable()
  return parameter(Buffer.from(blob[1] as string, 'hex'))
}

function integer(text: string): number | bigint {
  const exact = BigInt(text)
  if (BigInt.asIntN(64, exact) !== exact) throw unreadable()
  return Number.isSafeInteger(Number(text)) ? Number(text) : exact
}
