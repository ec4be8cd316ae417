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
 * and extra_float_digits are. `undefined` for a type that is not in {@link decoders}.
 */
export function decodeValue(type: number, bytes: Buffer): string | undefined {
  return decoders.get(type)?.(bytes)
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

const utf8 = (bytes: Buffer) => bytes.toString('utf8')
const infinity = (value: bigint, ends: readonly [bigint, bigint]) =>
  value === ends[1] ? 'infinity' : value === ends[0] ? '-infinity' : undefined
const int32Ends = [-(1n << 31n), (1n << 31n) - 1n] as const
const int64Ends = [-(1n << 63n), (1n << 63n) - 1n] as const

const oid: Decode = (bytes) => String(bytes.readUInt32BE())

/** The oid of each type, its name, the oid of its arrays, and its form as text. */
const scalarTypes: readonly (readonly [type: number, name: string, array: number, Decode, 'stable'?])[] = [
  [16, 'bool', 1000, (bytes) => (bytes[0] === 1 ? 'true' : 'false')],
  [17, 'bytea', 1001, (bytes) => `\\x${bytes.toString('hex')}`],
  // A `"char"` is one byte, which is a text only if it is ASCII and not zero.
  [18, '"char"', 1002, (bytes) => (bytes[0] && bytes[0] < 128 ? utf8(bytes) : undefined)],
  [19, 'name', 1003, utf8],
  [20, 'int8', 1016, (bytes) => String(bytes.readBigInt64BE())],
  [21, 'int2', 1005, (bytes) => String(bytes.readInt16BE())],
  [23, 'int4', 1007, (bytes) => String(bytes.readInt32BE())],
  [25, 'text', 1009, utf8],
  [26, 'oid', 1028, oid],
  [30, 'oidvector', 1013, oidvector],
  [650, 'cidr', 651, inet],
  [700, 'float4', 1021, (bytes) => float(bytes.readFloatBE())],
  [701, 'float8', 1022, (bytes) => float(bytes.readDoubleBE())],
  [705, 'text', 0, utf8],
  [774, 'macaddr8', 775, macaddr],
  [829, 'macaddr', 1040, macaddr],
  [869, 'inet', 1041, inet],
  [1042, 'bpchar', 1014, utf8],
  [1043, 'text', 1015, utf8],
  [1082, 'date', 1182, date, 'stable'],
  [1083, 'time', 1183, (bytes) => time(bytes.readBigInt64BE()), 'stable'],
  [1114, 'timestamp', 1115, (bytes) => timestamp(bytes, ''), 'stable'],
  [1184, 'timestamptz', 1185, (bytes) => timestamp(bytes, '+00'), 'stable'],
  [1186, 'interval', 1187, interval, 'stable'],
  [1266, 'timetz', 1270, timetz, 'stable'],
  // A cast to `bit` would cut the text to one bit.
  [1560, 'varbit', 1561, bits],
  [1562, 'varbit', 1563, bits],
  [1700, 'numeric', 1231, numeric],
  [2950, 'uuid', 2951, uuid],
  [3220, 'pg_lsn', 3221, lsn],
  [3802, 'jsonb', 3807, (bytes) => utf8(bytes.subarray(1))],
  [5069, 'xid8', 271, (bytes) => String(bytes.readBigUInt64BE())],
]

/** The types of names, such as regclass and regtype: they sort and compare by the oid of what they name. */
const nameTypes = [24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191]

/** The name of each type of ranges, without `range`, its oid, that of its multiranges, and the type of its bounds. */
const rangeTypes: readonly (readonly [name: string, range: number, multirange: number, bound: number])[] = [
  ['int4', 3904, 4451, 23],
  ['num', 3906, 4532, 1700],
  ['ts', 3908, 4533, 1114],
  ['tstz', 3910, 4534, 1184],
  ['date', 3912, 4535, 1082],
  ['int8', 3926, 4536, 20],
]

/** The form as text of each type that we can decode, by its oid. */
export const decoders: ReadonlyMap<number, Decode> = /* @__PURE__ */ (() => {
  const decoderOf = (type: number) => (bytes: Buffer) => decodeValue(type, bytes)
  return new Map<number, Decode>([
    ...scalarTypes.map(([type, , , decode]) => [type, decode] as const),
    ...nameTypes.map((type) => [type, oid] as const),
    ...scalarTypes.map(([, , array, decode]) => [array, (bytes: Buffer) => decodeArray(decode, bytes)] as const),
    ...rangeTypes.map(([, type, , bound]) => [type, (bytes: Buffer) => decodeRange(decoderOf(bound), bytes)] as const),
    ...rangeTypes.map(
      ([, , type, bound]) => [type, (bytes: Buffer) => decodeMultirange(decoderOf(bound), bytes)] as const,
    ),
  ])
})()

/** For each type, by its oid: the SQL before and after a text that makes it a value of the type again. */
export const casts: ReadonlyMap<string, readonly [before: string, after: string]> = /* @__PURE__ */ (() =>
  new Map([
    ...scalarTypes.map(([type, name, , , stable]) => castOf(type, name, stable !== undefined)),
    ...nameTypes.map((type) => castOf(type, 'oid', false)),
    ...scalarTypes.map(([, name, array]) => castOf(array, `${name}[]`)),
    ...rangeTypes.map(([name, range]) => castOf(range, `${name}range`)),
    ...rangeTypes.map(([name, , multirange]) => castOf(multirange, `${name}multirange`)),
  ]))()

/** @param isStable - whether PostgreSQL would compute the cast again for every row */
function castOf(type: number, name: string, isStable = true): [type: string, cast: readonly [string, string]] {
  if (name === 'text') return [String(type), ['', '::text']]
  return [String(type), isStable ? ['(select ', `::text::${name})`] : ['', `::text::${name}`]]
}

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

function quoted(text: string | undefined): string | undefined {
  return text === undefined ? undefined : `"${text.replaceAll(/["\\]/g, '\\$&')}"`
}

/** Any number of dimensions, each with the index it starts at. */
function decodeArray(decode: Decode, bytes: Buffer): string | undefined {
  const dimensions = bytes.readInt32BE()
  if (dimensions === 0) return '{}'
  const sizes = Array.from({ length: dimensions }, (_size, at) => bytes.readInt32BE(12 + at * 8))
  const starts = Array.from({ length: dimensions }, (_start, at) => bytes.readInt32BE(16 + at * 8))
  const next = partsOf(bytes, 12 + dimensions * 8)
  const list = (depth: number): string | undefined => {
    if (depth === dimensions) {
      const item = next()
      return item === null ? 'NULL' : quoted(decode(item))
    }
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
  const next = partsOf(bytes, 1)
  const bound = () => quoted(decode(next() as Buffer))
  const lower = (flags & 8) === 0 ? bound() : ''
  const upper = (flags & 16) === 0 ? bound() : ''
  if (lower === undefined || upper === undefined) return undefined
  return `${(flags & 2) !== 0 ? '[' : '('}${lower},${upper}${(flags & 4) !== 0 ? ']' : ')'}`
}

function decodeMultirange(decode: Decode, bytes: Buffer): string {
  const next = partsOf(bytes, 4)
  const ranges = Array.from({ length: bytes.readInt32BE() }, () => decodeRange(decode, next() as Buffer))
  return `{${ranges.join(',')}}`
}

/** Reads parts that follow one another, each behind its length. Of NULL, the length is -1. */
function partsOf(bytes: Buffer, start: number): () => Buffer | null {
  let at = start
  return () => {
    const length = bytes.readInt32BE(at)
    const part = bytes.subarray(at + 4, at + 4 + length)
    at += 4 + Math.max(0, length)
    return length < 0 ? null : part
  }
}
