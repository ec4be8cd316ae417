import type { Inspection } from './inspect-value.ts'

/** How a payload is to be read: JSON text, JSON with marks for other types, or the bytes themselves. */
export type ValueFormat = 'json' | 'marked' | 'bytes'

/** A value as bytes. */
export interface EncodedValue {
  readonly format: ValueFormat
  readonly bytes: Buffer
}

/** Where the types live that are no JSON; `{ $: [mark, …] }` stands for each. */
const mark = '$'
const lengthBytes = 4

const binaryTypes = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
} as const

/** Bytes from which {@link decodeValue} makes an equal value. The value must have been inspected. */
export function encodeValue(value: unknown, { isJson }: Inspection): EncodedValue {
  if (isJson) return { format: 'json', bytes: Buffer.from(JSON.stringify(value)) }
  if (Buffer.isBuffer(value)) return { format: 'bytes', bytes: value }
  const encoder = new Encoder()
  const json = Buffer.from(JSON.stringify(encoder.encode(value)))
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32BE(json.length)
  return { format: 'marked', bytes: Buffer.concat([length, json, ...encoder.binaries]) }
}

/**
 * The value that was encoded.
 *
 * @throws when the bytes are not what {@link encodeValue} wrote
 */
export function decodeValue(format: ValueFormat, bytes: Buffer): unknown {
  if (format === 'json') return JSON.parse(bytes.toString())
  if (format === 'bytes') return Buffer.from(bytes)
  const end = lengthBytes + bytes.readUInt32BE()
  return decode(JSON.parse(bytes.toString('utf8', lengthBytes, end)), bytes.subarray(end))
}

class Encoder {
  /** Binary values, in order; they follow the JSON as they are, because base64 would make them a third larger. */
  readonly binaries: Uint8Array[] = []
  #offset = 0

  encode(value: unknown): unknown {
    if (value === undefined) return { [mark]: ['undefined'] }
    if (typeof value === 'bigint') return { [mark]: ['bigint', String(value)] }
    if (typeof value === 'number') return isPlainNumber(value) ? value : { [mark]: ['number', numberText(value)] }
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return Array.from(value, (item) => this.encode(item))
    if (value instanceof Date) return { [mark]: ['date', Number.isNaN(value.getTime()) ? null : value.getTime()] }
    if (value instanceof Map) return { [mark]: ['map', this.encode([...value])] }
    if (value instanceof Set) return { [mark]: ['set', this.encode([...value])] }
    if (ArrayBuffer.isView(value)) return { [mark]: ['binary', ...this.#attach(value)] }
    return this.#encodePlain(value)
  }

  #encodePlain(value: object): unknown {
    const fields = Object.fromEntries(Object.entries(value).map(([field, item]) => [field, this.encode(item)]))
    if (Object.getPrototypeOf(value) === null) return { [mark]: ['bare', fields] }
    return mark in fields ? { [mark]: ['plain', fields] } : fields
  }

  #attach(view: ArrayBufferView): [type: string, offset: number, length: number] {
    const type = Buffer.isBuffer(view) ? 'Buffer' : view.constructor.name
    const offset = this.#offset
    this.#offset += view.byteLength
    this.binaries.push(new Uint8Array(view.buffer, view.byteOffset, view.byteLength))
    return [type, offset, view.byteLength]
  }
}

function decode(node: unknown, binaries: Buffer): unknown {
  if (typeof node !== 'object' || node === null) return node
  if (Array.isArray(node)) return node.map((item) => decode(item, binaries))
  if (!(mark in node)) return decodeFields(node, binaries)
  const [type, ...data] = node[mark] as [string, ...unknown[]]
  switch (type) {
    case 'undefined':
      return undefined
    case 'bigint':
      return BigInt(data[0] as string)
    case 'number':
      return Number(data[0])
    case 'date':
      return new Date((data[0] as number | null) ?? Number.NaN)
    case 'map':
      return new Map(decode(data[0], binaries) as [unknown, unknown][])
    case 'set':
      return new Set(decode(data[0], binaries) as unknown[])
    case 'binary':
      return decodeBinary(data as [string, number, number], binaries)
    case 'bare':
      return Object.setPrototypeOf(decodeFields(data[0] as object, binaries), null)
    case 'plain':
      return decodeFields(data[0] as object, binaries)
    default:
      throw new TypeError('unknown mark')
  }
}

function decodeFields(fields: object, binaries: Buffer): Record<string, unknown> {
  // fromEntries defines each field, where assigning one named __proto__ would set the prototype.
  return Object.fromEntries(Object.entries(fields).map(([field, item]) => [field, decode(item, binaries)]))
}

function decodeBinary([type, offset, length]: [string, number, number], binaries: Buffer): unknown {
  const bytes = Uint8Array.from(binaries.subarray(offset, offset + length))
  if (bytes.length !== length) throw new RangeError('binary part is truncated')
  if (type === 'Buffer') return Buffer.from(bytes.buffer)
  return new binaryTypes[type as keyof typeof binaryTypes](bytes.buffer)
}

function isPlainNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0)
}

function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}
