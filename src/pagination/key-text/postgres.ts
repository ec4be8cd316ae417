import type { OperationNode } from 'kysely'
import { CursorUnstableError, QueryUnsupportedError } from '../errors.ts'
import type { Row } from '../seek/query-runner.ts'
import { describeKey, type OrderKey, type ResolvedQuery } from '../seek/sort-keys.ts'
import { asColumn, joined, parameter, raw, sqlText } from '../seek/sql-nodes.ts'
import { comparedByValue, type KeyText, otherTypes, type Position, unreadable } from './key-text.ts'
import { type BinaryField, casts, decodedTypes, decodeOwn, decodeRecord, decodeValue } from './postgres-binary.ts'

/**
 * A text is `<oid of the type>:<text>`. The statement writes keys in their binary form, because PostgreSQL's text depends
 * on the settings of the session. Only rows whose cursor is handed out are decoded. A type that we cannot decode (an
 * enum, citext) comes as text, and is read back as the type of the key.
 */
export const postgres: KeyText = /* @__PURE__ */ comparedByValue(read, {
  columns: (keys, describesTypes) => [asColumn(onPageOnly(recordOf(keys, describesTypes)), 'posthastek0')],
  positionOf,
  isNullIn,
  isNull: ({ sql }) => raw`${sql} is null`,
})

/** The oid of the key's type. */
export function typeOf(text: string): string {
  return text.slice(0, text.indexOf(':'))
}

/**
 * PostgreSQL computes the columns of every row before it sorts. It computes a volatile column only after that, for the
 * rows of the page.
 */
export function onPageOnly(expression: OperationNode): OperationNode {
  return raw`case when pg_catalog.clock_timestamp() is not null then ${expression} end`
}

/** Whether the row has a key of a user-defined type: then its statement should have described the type. */
export function lacksOwnType({ posthastek0 }: Row, { keys }: ResolvedQuery): boolean {
  const record = posthastek0 as string
  const isDecoded = (_key: OrderKey, at: number) => decodedTypes.has(String(int32In(record, offsetOf(record, at))))
  return int32In(record, 0) === keys.length && !keys.every(isDecoded)
}

/**
 * User-defined types are accepted: one may be a domain, which has the order of its base type. So is type 1, which marks
 * positions of `decodeLegacy`.
 *
 * @param record - the keys of a row, if there is one
 * @throws CursorMismatchError for a key that has another type than the position was written with, and so another order
 */
export function refuseOtherTypes(record: unknown, position: Position): void {
  if (typeof record !== 'string') return
  for (let at = 0; at < position.length; at++) {
    const before = Number(typeOf(position[at] ?? '1:'))
    const now = int32In(record, offsetOf(record, at)) >>> 0
    if (before === 1 || before === now || now >= firstOwnType) continue
    if (!sameOrders.some((types) => types.includes(before) && types.includes(now))) throw otherTypes()
  }
}

const firstOwnType = 16_384

/** Numbers, texts, and times without a zone. */
const sameOrders = [
  [20, 21, 23, 700, 701, 1700],
  [25, 1042, 1043],
  [1082, 1114],
]

/**
 * All keys. With `describesTypes`, each key of a user-defined type also has a description (see `describedTypes`) and a
 * text. PostgreSQL needs longer to plan that query of the catalogue than to read a page, so other statements leave it
 * out.
 */
function recordOf(keys: readonly OrderKey[], describesTypes: boolean): OperationNode {
  const sqls = keys.map(({ sql }) => sql)
  if (!describesTypes) return raw`encode(record_send(row(${joined(sqls, ', ')})), 'hex')`
  const texts = sqls.map(
    (sql) =>
      raw`case when ${isDecoded(sql)} then null else (select pht1 from ${describedTypes} pht where pht0 = pg_typeof(${sql})) || ':' || (${sql})::text end`,
  )
  return raw`encode(record_send(row(${joined(sqls, ', ')}, ${joined(texts, ', ')})), 'hex')`
}

/**
 * Each type with its kind and its inner type: the base type of a domain, or the type of a range's bounds or an array's
 * elements. Two kinds are our own: `u` for a type without the operator `>=`, such as hstore, whose operators have other
 * names; and `v` for a type whose operators are not on the search path, as may happen to citext: there `>=` compares the
 * texts.
 */
const describedTypes = /* @__PURE__ */ sqlText(
  "(select t.oid pht0, case when t.typcategory = 'A' and t.typtype = 'b' then 'A' when t.typtype <> 'b' and not (t.typtype = 'd' and i.typtype = 'b' and i.typcategory <> 'A') then t.typtype::text when o.found > 0 and o.visible = 0 then 'v' when o.found = 0 and not exists (select from pg_catalog.pg_cast where castsource = coalesce(i.oid, t.oid) and castmethod = 'b' and castcontext = 'i') then 'u' else t.typtype::text end || coalesce(nullif(i.typbasetype, 0), i.oid, 0)::oid::text pht1 from pg_catalog.pg_type t left join pg_catalog.pg_range on rngtypid = t.oid left join pg_catalog.pg_type i on i.oid = coalesce(nullif(t.typbasetype, 0), rngsubtype, case when t.typcategory = 'A' then t.typelem end) cross join lateral (select count(*) as found, count(*) filter (where pg_catalog.pg_operator_is_visible(oid)) as visible from pg_catalog.pg_operator where oprname = '>=' and oprleft = coalesce(i.oid, t.oid)) as o)",
)

const decoded = /* @__PURE__ */ (() => sqlText(`'{${[...decodedTypes].join(',')}}'::oid[]`))()

function isDecoded(sql: OperationNode): OperationNode {
  return raw`pg_typeof(${sql})::oid = any(${decoded})`
}

function positionOf(row: Row, keys: readonly OrderKey[]): (string | null)[] {
  const fields = decodeRecord(Buffer.from(row.posthastek0 as string, 'hex'))
  return keys.map((key, at) => {
    const { type, bytes } = fields[at] as BinaryField
    if (bytes === null) return null
    const text = decodeValue(type, bytes)
    return text === undefined
      ? ownText(type, bytes, fields[keys.length + at]?.bytes?.toString(), key)
      : `${type}:${text}`
  })
}

/** @param described - the kind of the type, its inner type, a colon, the text */
function ownText(type: number, bytes: Buffer, described: string | undefined, key: OrderKey): string {
  const colon = described?.indexOf(':') ?? -1
  if (described === undefined || colon < 0) {
    throw new CursorUnstableError(
      `${describeKey(key)} has a value that PostgreSQL cannot write as text: page by another key`,
    )
  }
  const kind = described[0]
  if (kind === 'c' || kind === 'p') {
    throw new QueryUnsupportedError(`${describeKey(key)} is a composite value: give its fields as keys`)
  }
  if (kind === 'u') {
    throw new QueryUnsupportedError(`${describeKey(key)} has a type without the operator \`>=\`: page by a cast of it`)
  }
  if (kind === 'v') {
    throw new QueryUnsupportedError(
      `${describeKey(key)} has a type whose operators are in a schema outside of the \`search_path\`: add the schema to it, or page by a cast of the key`,
    )
  }
  const inner = Number(described.slice(1, colon))
  const exact = decodeOwn(kind, inner, bytes) ?? described.slice(colon + 1)
  return `${kind === 'd' ? inner : type}:${exact}`
}

function isNullIn({ posthastek0 }: Row, at: number): boolean {
  const record = posthastek0 as string
  return record[offsetOf(record, at) + 8] === 'f'
}

/** Where a field starts in the hexadecimal text. To decode each row would take longer. The length of NULL is -1. */
function offsetOf(record: string, at: number): number {
  let offset = 8
  for (let skip = at; skip > 0; skip--) offset += 16 + Math.max(0, int32In(record, offset + 8)) * 2
  return offset
}

/** Reads eight hexadecimal digits as a number. `parseInt` takes twice as long, and this runs for each row of a page. */
function int32In(hex: string, offset: number): number {
  let value = 0
  for (let at = offset; at < offset + 8; at++) {
    const code = hex.charCodeAt(at)
    value = (value << 4) | (code < 58 ? code - 48 : code - 87)
  }
  return value
}

/**
 * The casts start from text, because some drivers convert a parameter of type timestamptz to a Date, and lose its
 * microseconds. The meaning of a time, array or range as text depends on the session, so PostgreSQL would read the text
 * again for every row. It reads a sub-select once.
 */
function read(text: string): OperationNode {
  const type = typeOf(text)
  const written = parameter(text.slice(type.length + 1))
  const cast = casts.get(type)
  if (cast !== undefined) return raw(cast, written)
  if (!/^\d{1,10}$/.test(type)) throw unreadable()
  return written
}
