import type { OperationNode } from 'kysely'
import { asColumn, parameter, raw } from '../seek/sql-nodes.ts'
import { comparedByValue, hasNoText, type KeyText, textsIn, unreadable } from './key-text.ts'

/**
 * `t` and a text, or a number or blob as an SQL literal: SQLite compares by the storage class of a value, not by a type.
 * Integers that JavaScript holds exactly are not quoted, because `quote()` would take half the time of reading a row. The `+`
 * keeps a text column from turning the bounds into texts.
 */
export const sqlite: KeyText = /* @__PURE__ */ comparedByValue(read, {
  columns: (keys) =>
    keys.map(({ sql }, at) =>
      asColumn(
        raw`case when +${sql} between -9007199254740991 and 9007199254740991 then ${sql} when typeof(${sql}) = 'text' then 't' || ${sql} when ${sql} is null then null else quote(${sql}) end`,
        `posthastek${at}`,
      ),
    ),
  positionOf: textsIn,
  isNullIn: hasNoText,
  // On a NOT NULL column, `is null` shows in the plan as a scan, which never runs. With a parameter it is an index search.
  isNull: ({ sql }) => raw`${sql} is ${parameter(null)}`,
})

/** The text of a key by its value in JavaScript; `undefined` where only the database can write it. */
export function shownText(value: unknown): string | null | undefined {
  if (value === null) return null
  if (!hasShownText(value)) return undefined
  return typeof value === 'string' ? `t${value}` : String(value)
}

export function hasShownText(value: unknown): boolean {
  if (typeof value === 'number') return Math.abs(value) <= Number.MAX_SAFE_INTEGER
  // A driver writes U+FFFD for bytes that are no text.
  return typeof value === 'string' ? !value.includes('\uFFFD') : typeof value === 'bigint'
}

function read(text: string): OperationNode {
  if (text.startsWith('t')) return parameter(text.slice(1))
  if (/^-?\d{1,19}$/.test(text)) return parameter(integer(text))
  if (/^-?\d+(\.\d+)?(e[+-]\d+)?$/.test(text)) return parameter(Number(text))
  const blob = /^X'((?:[\dA-F]{2})*)'$/.exec(text)
  if (blob === null) throw unreadable()
  return parameter(Buffer.from(blob[1] as string, 'hex'))
}

function integer(text: string): number | bigint {
  const exact = BigInt(text)
  if (BigInt.asIntN(64, exact) !== exact) throw unreadable()
  return Number.isSafeInteger(Number(text)) ? Number(text) : exact
}
