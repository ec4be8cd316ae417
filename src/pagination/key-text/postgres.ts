import type { OperationNode } from 'kysely'
import { CursorUnstableError, QueryUnsupportedError } from '../errors.ts'
import type { Row } from '../seek/query-runner.ts'
import { describeKey, type OrderKey } from '../seek/sort-keys.ts'
import { asColumn, joined, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { comparedByValue, type KeyText, type Position, unreadable } from './key-text.ts'
import { casts, decodedTypes, decodeOwn, decodeRecord, decodeValue } from './postgres-binary.ts'

/**
 * `<oid of the type>:<text>`; of a domain, the oid of the type under it and `d`. The statement writes the keys of a row in their binary form, because the text that PostgreSQL
 * makes depends on the settings of the session; only rows whose cursor is handed out are decoded. A type that we cannot
 * decode (an enum, citext) comes as text, and is read back as the type of the key.
 */
export const postgres: KeyText = /* @__PURE__ */ comparedByValue(read, {
  columns: (keys, isTyped) => [asColumn(onPageOnly(recordOf(keys, isTyped)), 'phk0')],
  positionOf,
  isNullIn,
  isNull: ({ sql }) => raw`${sql} is null`,
})

/**
 * PostgreSQL works out the columns of every row before it sorts, unless a column is volatile: then it does so for the rows
 * of the page only.
 */
export function onPageOnly(expression: OperationNode): OperationNode {
  return raw`case when pg_catalog.clock_timestamp() is not null then ${expression} end`
}

/** Whether the keys at the position are of types that we decode: such a cursor has their oids, and for a domain also a `d`. */
export function hasDecodedTypes(position: Position): boolean {
  return position.every((text) => text !== null && decodedTypes.has(typeIn(text)))
}

/**
 * All keys, and for each of a type that the user made its description (see `describedTypes`), and its text. PostgreSQL plans
 * the look at the catalogue for longer than it reads a page, so it is left out where the types are known.
 */
function recordOf(keys: readonly OrderKey[], isTyped: boolean): OperationNode {
  const sqls = keys.map(({ sql }) => sql)
  if (isTyped) return raw`encode(record_send(row(${joined(sqls, ', ')})), 'hex')`
  const texts = sqls.map(
    (sql) =>
      raw`case when ${isDecoded(sql)} then null else (select pht1 from ${describedTypes} as pht where pht0 = pg_typeof(${sql})) || ':' || (${sql})::text end`,
  )
  return raw`encode(record_send(row(${joined(sqls, ', ')}, ${joined(texts, ', ')})), 'hex')`
}

/** Each type with its kind and the type in it: under a domain, of a range's bounds, of an array's elements. */
const describedTypes = /* @__PURE__ */ sqlText(
  "(select t.oid as pht0, case when t.typcategory = 'A' and t.typtype = 'b' then 'A' else t.typtype::text end || coalesce((select coalesce(nullif(i.typbasetype, 0), i.oid) from pg_catalog.pg_type i where i.oid = coalesce(nullif(t.typbasetype, 0), (select rngsubtype from pg_catalog.pg_range where rngtypid = t.oid), case when t.typcategory = 'A' then t.typelem end)), 0)::oid::text as pht1 from pg_catalog.pg_type t)",
)

const decoded = /* @__PURE__ */ (() => sqlText(`'{${[...decodedTypes].join(',')}}'::oid[]`))()

function isDecoded(sql: OperationNode): OperationNode {
  return raw`pg_typeof(${sql})::oid = any(${decoded})`
}

function positionOf(row: Row, keys: readonly OrderKey[]): (string | null)[] {
  const record = Buffer.from(row.phk0 as string, 'hex')
  return decodeRecord(record, keys.length).map(({ type, bytes }, at) => {
    if (bytes === null) return null
    const text = decodeValue(type, bytes)
    if (text !== undefined) return `${type}:${text}`
    const isTyped = record.readInt32BE() === keys.length
    const described = isTyped ? undefined : decodeRecord(record, keys.length * 2)[keys.length + at]?.bytes?.toString()
    return ownText(type, bytes, described, keys[at] as OrderKey)
  })
}

/** @param described - the kind of the type, the type in it, a colon, the text */
function ownText(type: number, bytes: Buffer, described: string | undefined, key: OrderKey): string {
  const colon = described?.indexOf(':') ?? -1
  if (described === undefined || colon < 0) {
    throw new CursorUnstableError(
      `${describeKey(key)} has a value that PostgreSQL cannot write as text, or another type than in the cursor: page by another key, or from the start`,
    )
  }
  const kind = described[0]
  if (kind === 'c' || kind === 'p') {
    throw new QueryUnsupportedError(`${describeKey(key)} is a composite value: give its fields as keys`)
  }
  const inner = Number(described.slice(1, colon))
  const exact = decodeOwn(kind, inner, bytes) ?? described.slice(colon + 1)
  return `${kind === 'd' ? `${inner}d` : type}:${exact}`
}

/** Reads the lengths in the hexadecimal text: to decode each row would take longer. The length of NULL is -1. */
function isNullIn(row: Row, at: number): boolean {
  const record = row.phk0 as string
  let offset = 16
  for (let skip = at; skip > 0; skip--) offset += 16 + Math.max(0, int32In(record, offset)) * 2
  return record[offset] === 'f'
}

/** The number that eight hexadecimal digits are. `parseInt` takes twice as long, for each row of a page. */
function int32In(hex: string, offset: number): number {
  let value = 0
  for (let at = offset; at < offset + 8; at++) {
    const code = hex.charCodeAt(at)
    value = (value << 4) | (code < 58 ? code - 48 : code - 87)
  }
  return value
}

/**
 * The casts start from text: some drivers convert a parameter of type timestamptz to a Date, and lose its microseconds. The
 * text of times, arrays and ranges means a value only in a session, so PostgreSQL would read it again for every row; it reads
 * a sub-select once.
 */
function read(text: string): OperationNode {
  const type = typeIn(text)
  const written = parameter(text.slice(type.length + 1))
  const cast = casts.get(type.replace('d', ''))
  if (cast !== undefined) return raw(cast, written)
  if (!/^\d{1,10}d?$/.test(type)) throw unreadable()
  return written
}

function typeIn(text: string): string {
  return text.slice(0, Math.max(0, text.indexOf(':')))
}
