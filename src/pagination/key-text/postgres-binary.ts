/** A value in PostgreSQL's binary form: the oid of its type, and its bytes. `null` is NULL. */
export interface BinaryField {
  readonly type: number
  readonly bytes: Buffer | null
}

/**
 * Reads what `record_send` writes: the number of fields, then for each the oid of its type, its length and its bytes.
 *
 * @see {@link https://www.postgresql.org/docs/current/protocol-message-formats.html}
 */
export function decodeRecord(record: Buffer): BinaryField[] {
  const fields: BinaryField[] = []
  let at = 4
  for (let left = record.readInt32BE(); left > 0; left--) {
    const type = record.readUInt32BE(at)
    const length = record.readInt32BE(at + 4)
    at += 8
    fields.push({ type, bytes: length < 0 ? null : record.subarray(at, at + length) })
    if (length > 0) at += length
  }
  return fields
}

/**
 * The value as text that reads back as the same value, whatever a session's DateStyle, TimeZone, IntervalStyle, bytea_output
 * and extra_float_digits are. `undefined` for a type that is not in {@link decodedTypes}.
 */
export function decodeValue(type: number, bytes: Buffer): string | undefined {
  const scalar = scalars.get(type)
  if (scalar !== undefined) return scalar.decode(bytes)
  const element = arrayElements.get(type)
  if (element !== undefined) return decodeArray(element.decode, bytes)
  const bound = rangeBounds.get(type)
  if (bound !== undefined) return decodeRange(decoderOf(bound), bytes)
  const range = multirangeBounds.get(type)
  return range === undefined ? undefined : decodeMultirange(decoderOf(range), bytes)
}

/**
 * The value of a user-defined type, in the same form of text.
 *
 * @param path - what the type is made of, from the outside to the inside: `d` a domain, `r` a range, `A` an array
 * @param inner - the type inside all of these
 */
export function decodeOwn(path: string, inner: number, bytes: Buffer): string | undefined {
  const decodeRest: Decode = (part) => decodeOwn(path.slice(1), inner, part)
  switch (path[0]) {
    case undefined:
      return decodeValue(inner, bytes)
    case 'd':
      return decodeRest(bytes)
    case 'r':
      return decodeRange(decodeRest, bytes)
    case 'A':
      return decodeArray(decodeRest, bytes)
    default:
      return undefined
  }
}

type Decode = (bytes: Buffer) => string | undefined

const decoderOf =
  (type: number): Decode =>
  (bytes) =>
    decodeValue(type, bytes)

interface Scalar {
  readonly name: string
  readonly array: number
  readonly isStable?: boolean
  decode(bytes: Buffer): string | undefined
}

const utf8 = (bytes: Buffer) => bytes.toString('utf8')
const infinity = (value: bigint, ends: readonly [bigint, bigint]) =>
  value === ends[1] ? 'infinity' : value === ends[0] ? '-infinity' : undefined
const int32Ends = [-(1n << 31n), (1n << 31n) - 1n] as const
const int64Ends = [-(1n << 63n), (1n << 63n) - 1n] as const

const oid: Scalar = { name: 'oid', array: 1028, decode: (bytes) => String(bytes.readUInt32BE()) }

const scalars: ReadonlyMap<number, Scalar> = new Map<number, Scalar>([
  [16, { name: 'bool', array: 1000, decode: (bytes) => (bytes[0] === 1 ? 'true' : 'false') }],
  [17, { name: 'bytea', array: 1001, decode: (bytes) => `\\x${bytes.toString('hex')}` }],
  // A `"char"` is one byte, which is a text only if it is ASCII and not zero.
  [18, { name: '"char"', array: 1002, decode: (bytes) => (bytes[0] && bytes[0] < 128 ? utf8(bytes) : undefined) }],
  [19, { name: 'name', array: 1003, decode: utf8 }],
  [20, { name: 'int8', array: 1016, decode: (bytes) => String(bytes.readBigInt64BE()) }],
  [21, { name: 'int2', array: 1005, decode: (bytes) => String(bytes.readInt16BE()) }],
  [23, { name: 'int4', array: 1007, decode: (bytes) => String(bytes.readInt32BE()) }],
  [25, { name: 'text', array: 1009, decode: utf8 }],
  [26, oid],
  // The types of names, such as regclass and regtype, sort and compare by the oid of what they name.
  [24, oid],
  [2202, oid],
  [2203, oid],
  [2204, oid],
  [2205, oid],
  [2206, oid],
  [3734, oid],
  [3769, oid],
  [4089, oid],
  [4096, oid],
  [4191, oid],
  [30, { name: 'oidvector', array: 1013, decode: oidvector }],
  [650, { name: 'cidr', array: 651, decode: inet }],
  [700, { name: 'float4', array: 1021, decode: (bytes) => float(bytes.readFloatBE()) }],
  [701, { name: 'float8', array: 1022, decode: (bytes) => float(bytes.readDoubleBE()) }],
  [705, { name: 'text', array: 0, decode: utf8 }],
  [774, { name: 'macaddr8', array: 775, decode: macaddr }],
  [829, { name: 'macaddr', array: 1040, decode: macaddr }],
  [869, { name: 'inet', array: 1041, decode: inet }],
  [1042, { name: 'bpchar', array: 1014, decode: utf8 }],
  [1043, { name: 'text', array: 1015, decode: utf8 }],
  [1082, { name: 'date', array: 1182, isStable: true, decode: date }],
  [1083, { name: 'time', array: 1183, isStable: true, decode: (bytes) => time(bytes.readBigInt64BE()) }],
  [1114, { name: 'timestamp', array: 1115, isStable: true, decode: (bytes) => timestamp(bytes, '') }],
  [1184, { name: 'timestamptz', array: 1185, isStable: true, decode: (bytes) => timestamp(bytes, '+00') }],
  [1186, { name: 'interval', array: 1187, isStable: true, decode: interval }],
  [1266, { name: 'timetz', array: 1270, isStable: true, decode: timetz }],
  // A cast to `bit` would cut the text to one bit.
  [1560, { name: 'varbit', array: 1561, decode: bits }],
  [1562, { name: 'varbit', array: 1563, decode: bits }],
  [1700, { name: 'numeric', array: 1231, decode: numeric }],
  [2950, { name: 'uuid', array: 2951, decode: uuid }],
  [3220, { name: 'pg_lsn', array: 3221, decode: lsn }],
  [3802, { name: 'jsonb', array: 3807, decode: (bytes) => utf8(bytes.subarray(1)) }],
  [5069, { name: 'xid8', array: 271, decode: (bytes) => String(bytes.readBigUInt64BE()) }],
])

const arrayElements: ReadonlyMap<number, Scalar> = /* @__PURE__ */ (() =>
  new Map([...scalars.values()].map((scalar) => [scalar.array, scalar])))()

const rangeNames = [
  { name: 'int4', range: 3904, multirange: 4451, bound: 23 },
  { name: 'num', range: 3906, multirange: 4532, bound: 1700 },
  { name: 'ts', range: 3908, multirange: 4533, bound: 1114 },
  { name: 'tstz', range: 3910, multirange: 4534, bound: 1184 },
  { name: 'date', range: 3912, multirange: 4535, bound: 1082 },
  { name: 'int8', range: 3926, multirange: 4536, bound: 20 },
]
const rangeBounds: ReadonlyMap<number, number> = /* @__PURE__ */ (() =>
  new Map(rangeNames.map(({ range, bound }) => [range, bound])))()
const multirangeBounds: ReadonlyMap<number, number> = /* @__PURE__ */ (() =>
  new Map(rangeNames.map(({ multirange, bound }) => [multirange, bound])))()

/** For each type, by its oid: the SQL before and after a text that makes it a value of the type again. */
export const casts: ReadonlyMap<string, readonly [before: string, after: string]> = /* @__PURE__ */ (() =>
  new Map([
    ...[...scalars].map(([type, { name, isStable = false }]) => castOf(type, name, isStable)),
    ...[...arrayElements].map(([type, { name }]) => castOf(type, `${name}[]`)),
    ...rangeNames.map(({ name, range }) => castOf(range, `${name}range`)),
    ...rangeNames.map(({ name, multirange }) => castOf(multirange, `${name}multirange`)),
  ]))()

/** @param isStable - whether PostgreSQL would compute the cast again for every row */
function castOf(type: number, name: string, isStable = true): [type: string, cast: readonly [string, string]] {
  if (name === 'text') return [String(type), ['', '::text']]
  return [String(type), isStable ? ['(select ', `::text::${name})`] : ['', `::text::${name}`]]
}

/** The oids of the types that {@link decodeValue} reads. */
export const decodedTypes: ReadonlySet<string> = /* @__PURE__ */ (() =>
  new Set([...casts.keys()].filter((type) => type !== '0')))()

function float(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

function pad(value: bigint | number, length = 2): string {
  return String(value).padStart(length, '0')
}

/** Days since 2000-01-01 as `YYYY-MM-DD`; the second text is ` BC` before the year 1. */
function civil(days: number): [string, string] {
  // From https://howardhinnant.github.io/date_algorithms.html#civil_from_days, whose day 0 is 0000-03-01.
  const shifted = days + 730_425
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1_460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  return [`${pad(year > 0 ? year : 1 - year, 4)}-${pad(month)}-${pad(day)}`, year > 0 ? '' : ' BC']
}

function date(bytes: Buffer): string {
  const days = bytes.readInt32BE()
  const [text, suffix] = civil(days)
  return infinity(BigInt(days), int32Ends) ?? text + suffix
}

function time(microseconds: bigint): string {
  const seconds = microseconds / 1_000_000n
  return `${pad(seconds / 3600n)}:${pad((seconds / 60n) % 60n)}:${pad(seconds % 60n)}.${pad(microseconds % 1_000_000n, 6)}`
}

const day = 86_400_000_000n

function timestamp(bytes: Buffer, zone: string): string {
  const value = bytes.readBigInt64BE()
  const end = infinity(value, int64Ends)
  if (end !== undefined) return end
  const rest = ((value % day) + day) % day
  const [text, suffix] = civil(Number((value - rest) / day))
  return `${text} ${time(rest)}${zone}${suffix}`
}

function timetz(bytes: Buffer): string {
  const west = bytes.readInt32BE(8)
  const offset = Math.abs(west)
  const zone = `${pad(Math.floor(offset / 3600))}:${pad(Math.floor(offset / 60) % 60)}:${pad(offset % 60)}`
  return `${time(bytes.readBigInt64BE())}${west > 0 ? '-' : '+'}${zone}`
}

/** Each part has its sign: with IntervalStyle `sql_standard`, a leading minus would count for all parts. */
function interval(bytes: Buffer): string {
  const [microseconds, days, months] = [bytes.readBigInt64BE(), bytes.readInt32BE(8), bytes.readInt32BE(12)]
  if (microseconds === int64Ends[1] && days === 2 ** 31 - 1 && months === 2 ** 31 - 1) return 'infinity'
  if (microseconds === int64Ends[0] && days === -(2 ** 31) && months === -(2 ** 31)) return '-infinity'
  const signed = (value: number) => (value < 0 ? String(value) : `+${value}`)
  const clock = microseconds < 0n ? `-${time(-microseconds)}` : `+${time(microseconds)}`
  return `${signed(months)} mons ${signed(days)} days ${clock}`
}

function numeric(bytes: Buffer): string {
  const [count, weight, sign, scale] = [
    bytes.readInt16BE(),
    bytes.readInt16BE(2),
    bytes.readUInt16BE(4),
    bytes.readUInt16BE(6),
  ]
  if (sign === 0xc000) return 'NaN'
  if (sign === 0xd000) return 'Infinity'
  if (sign === 0xf000) return '-Infinity'
  const digit = (at: number) => (at >= 0 && at < count ? bytes.readInt16BE(8 + at * 2) : 0)
  let whole = ''
  for (let at = 0; at <= weight; at++) whole += pad(digit(at), 4)
  let fraction = ''
  for (let at = weight + 1; fraction.length < scale; at++) fraction += pad(digit(at), 4)
  const text = (whole.replace(/^0+(?=\d)/, '') || '0') + (scale > 0 ? `.${fraction.slice(0, scale)}` : '')
  return sign === 0x4000 ? `-${text}` : text
}

function inet(bytes: Buffer): string {
  const address = bytes.subarray(4)
  const prefix = `/${bytes[1]}`
  if (address.length === 4) return address.join('.') + prefix
  return `${Array.from({ length: 8 }, (_group, at) => address.readUInt16BE(at * 2).toString(16)).join(':')}${prefix}`
}

function macaddr(bytes: Buffer): string {
  return (bytes.toString('hex').match(/../g) as string[]).join(':')
}

function bits(bytes: Buffer): string {
  const text = [...bytes.subarray(4)].map((byte) => byte.toString(2).padStart(8, '0')).join('')
  return text.slice(0, bytes.readInt32BE())
}

function uuid(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function lsn(bytes: Buffer): string {
  return `${bytes.readUInt32BE().toString(16)}/${bytes.readUInt32BE(4).toString(16)}`.toUpperCase()
}

function quoted(text: string): string {
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

/** Any number of dimensions, each with the index it starts at. */
function decodeArray(decode: Decode, bytes: Buffer): string | undefined {
  const dimensions = bytes.readInt32BE()
  if (dimensions === 0) return '{}'
  const sizes = Array.from({ length: dimensions }, (_size, at) => bytes.readInt32BE(12 + at * 8))
  const starts = Array.from({ length: dimensions }, (_start, at) => bytes.readInt32BE(16 + at * 8))
  let at = 12 + dimensions * 8
  const next = (): string | undefined => {
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < 0) return 'NULL'
    const text = decode(bytes.subarray(at, at + length))
    at += length
    return text === undefined ? undefined : quoted(text)
  }
  const list = (depth: number): string | undefined => {
    if (depth === dimensions) return next()
    const items = Array.from({ length: sizes[depth] as number }, () => list(depth + 1))
    return items.includes(undefined) ? undefined : `{${items.join(',')}}`
  }
  const text = list(0)
  if (text === undefined || starts.every((start) => start === 1)) return text
  return `${starts.map((start, depth) => `[${start}:${start + (sizes[depth] as number) - 1}]`).join('')}=${text}`
}

/** The binary form is that of an array of oids, but the text has no braces. */
function oidvector(bytes: Buffer): string {
  const oids: number[] = []
  for (let at = 24; at < bytes.length; at += 8) oids.push(bytes.readUInt32BE(at))
  return oids.join(' ')
}

/** Bits of the flags: 1 empty; 2 and 4 inclusive lower and upper bound; 8 and 16 no lower and no upper bound. */
function decodeRange(decode: Decode, bytes: Buffer): string | undefined {
  const flags = bytes[0] as number
  if ((flags & 1) !== 0) return 'empty'
  let at = 1
  const next = (isAbsent: boolean): string | undefined => {
    if (isAbsent) return ''
    const length = bytes.readInt32BE(at)
    const text = decode(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
    return text === undefined ? undefined : quoted(text)
  }
  const lower = next((flags & 8) !== 0)
  const upper = next((flags & 16) !== 0)
  if (lower === undefined || upper === undefined) return undefined
  return `${(flags & 2) !== 0 ? '[' : '('}${lower},${upper}${(flags & 4) !== 0 ? ']' : ')'}`
}

function decodeMultirange(decode: Decode, bytes: Buffer): string {
  const ranges: (string | undefined)[] = []
  let at = 4
  for (let left = bytes.readInt32BE(); left > 0; left--) {
    const length = bytes.readInt32BE(at)
    ranges.push(decodeRange(decode, bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return `{${ranges.join(',')}}`
}
