import { type OperationNode, SelectQueryNode } from 'kysely'
import type { Position } from '../cursor.ts'
import { CursorUnstableError, QueryUnsupportedError } from '../errors.ts'
import type { Row } from '../seek/query-runner.ts'
import { describeKey, type OrderKey, type ResolvedQuery } from '../seek/sort-keys.ts'
import { asColumn, commonTable, joined, parameter, raw, sqlText, tableNode, withOnlyColumn } from '../seek/sql-nodes.ts'
import { comparedByValue, type KeyText, otherTypes, unreadable } from './key-text.ts'
import { type BinaryField, casts, decodeOwn, decodeRecord, decoders, decodeValue } from './postgres-binary.ts'

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
  const isDecoded = (_key: OrderKey, at: number) => decoders.has(int32In(record, offsetOf(record, at)))
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
 * All keys. With `describesTypes`, each key of a user-defined type also has its {@link description} and a text. PostgreSQL
 * needs longer to plan that query of the catalogue than to read a page, so other statements leave it out.
 */
function recordOf(keys: readonly OrderKey[], describesTypes: boolean): OperationNode {
  const sqls = keys.map(({ sql }) => sql)
  if (!describesTypes) return raw`encode(record_send(row(${joined(sqls, ', ')})), 'hex')`
  const texts = sqls.map(
    (sql) => raw`case when ${isDecoded(sql)} then null else ${description(sql)} || ':' || (${sql})::text end`,
  )
  return raw`encode(record_send(row(${joined(sqls, ', ')}, ${joined(texts, ', ')})), 'hex')`
}

/**
 * What the type of a key is made of, from the outside to the inside, as a letter for each part (see `decodeOwn`), and the oid
 * of the innermost type. If that is user-defined, it has a letter too: its `typtype`, or one of our own:
 *
 * - `u`: it has no operator `>=`, as hstore, whose operators have other names, and a domain over an enum
 * - `v`: its operators are not on the search path, as may happen to citext: there `>=` compares the texts
 */
function description(key: OperationNode): OperationNode {
  // As nodes, because `instrument` looks for tables behind each `with` and `from` of raw SQL.
  const types = tableNode('posthastet')
  const parts = commonTable(
    'posthastet',
    raw`(select 0 as at, pg_typeof(${key})::oid as id, '' as before union all select at + 1, case typtype when 'd' then typbasetype when 'r' then rngsubtype else typelem end, before || typtype::text from ${types} join pg_catalog.pg_type t on t.oid = id left join pg_catalog.pg_range on rngtypid = id where id >= 16384 and (typtype in ('d', 'r') or (typtype = 'b' and typcategory = 'A')))`,
  )
  const found = raw`string_agg(case when id < 16384 then '' when typtype = 'e' and before like '%d' then 'u' when typtype <> 'b' then typtype::text when typcategory = 'A' then 'A' when o.found > 0 and o.visible = 0 then 'v' when o.found = 0 and not exists (select from pg_catalog.pg_cast where castsource = id and castmethod = 'b' and castcontext = 'i') then 'u' else 'b' end, '' order by at) || (array_agg(id order by at desc))[1] from ${types} join pg_catalog.pg_type t on t.oid = id cross join lateral (select count(*) as found, count(*) filter (where pg_catalog.pg_operator_is_visible(oid)) as visible from pg_catalog.pg_operator where oprname = '>=' and oprleft = id) as o`
  const query = SelectQueryNode.create({ kind: 'WithNode', expressions: [parts], recursive: true })
  return withOnlyColumn(query, found)
}

const decoded = /* @__PURE__ */ (() => sqlText(`'{${[...decoders.keys()].join(',')}}'::oid[]`))()

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

/** @param described - the {@link description} of the type, a colon, the text */
function ownText(type: number, bytes: Buffer, described: string | undefined, key: OrderKey): string {
  const [whole, domains = '', path = '', inner] = /^(d*)([a-zA-Z]*)(\d+):/.exec(described ?? '') ?? []
  if (described === undefined || whole === undefined) {
    throw new CursorUnstableError(
      `${describeKey(key)} has a value that PostgreSQL cannot write as text: page by another key`,
    )
  }
  const kind = path[0]
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
  const exact = decodeOwn(path, Number(inner), bytes) ?? described.slice(whole.length)
  return `${domains !== '' && kind === undefined ? inner : type}:${exact}`
}

function isNullIn({ posthastek0 }: Row, at: number): boolean {
  const record = posthastek0 as string
  // Nearly no record has the length of NULL anywhere, and to search for it takes half the time.
  return record.includes('ffffffff') && record[offsetOf(record, at) + 8] === 'f'
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
