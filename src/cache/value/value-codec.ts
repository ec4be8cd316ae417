import { binaryTypes, type Inspection, maxDigits, misreadName } from './inspect-value.ts'

/** The format of a payload: JSON text, JSON with marks for other types, or the bytes themselves. */
export type ValueFormat = 'json' | 'marked' | 'bytes'

interface EncodedValue {
  readonly format: ValueFormat
  readonly bytes: Buffer
}

/** In the format `marked`, `{ $: [type, …] }` stands for a value whose type JSON lacks. */
const mark = '$'
const lengthBytes = 4

/** Encodes a value that `inspectValue` has accepted. */
export function encodeValue(value: unknown, { isJson }: Inspection): EncodedValue {
  if (isJson) return { format: 'json', bytes: Buffer.from(JSON.stringify(value)) }
  if (Buffer.isBuffer(value)) return { format: 'bytes', bytes: value }
  const encoder = new Encoder()
  const json = Buffer.from(JSON.stringify(encoder.encode(value)))
  const length = Buffer.alloc(lengthBytes)
  length.writeUInt32BE(json.length)
  return { format: 'marked', bytes: Buffer.concat([length, json, ...encoder.binaries]) }
}

/** @throws when the bytes are not those of {@link encodeValue} */
export function decodeValue(format: ValueFormat, bytes: Buffer): unknown {
  if (format === 'json') return JSON.parse(bytes.toString())
  if (format === 'bytes') return Buffer.from(bytes)
  const end = lengthBytes + bytes.readUInt32BE()
  return new Decoder(bytes.subarray(end)).decode(JSON.parse(bytes.toString('utf8', lengthBytes, end)))
}

class Encoder {
  /** Binary values in order. They follow the JSON as they are: base64 would make them a third larger. */
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
    const entries = Object.entries(value).map(([field, item]) => [field, this.encode(item)] as const)
    const isBare = Object.getPrototypeOf(value) === null
    if (entries.some(([field]) => misreadName.test(field))) return { [mark]: ['entries', entries, isBare] }
    const fields = Object.fromEntries(entries)
    if (isBare) return { [mark]: ['bare', fields] }
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

class Decoder {
  readonly #binaries: Buffer
  /** The binary bytes that no value has claimed yet. Values may not share bytes: a few bytes could decode to very many. */
  #unclaimedBytes: number

  constructor(binaries: Buffer) {
    this.#binaries = binaries
    this.#unclaimedBytes = binaries.length
  }

  decode(node: unknown): unknown {
    if (typeof node !== 'object' || node === null) return node
    if (Array.isArray(node)) return node.map((item) => this.decode(item))
    if (!(mark in node)) return this.#decodeFields(node)
    const [type, ...data] = node[mark] as [string, ...unknown[]]
    switch (type) {
      case 'undefined':
        return undefined
      case 'bigint':
        return decodeBigint(data[0] as string)
      case 'number':
        return Number(data[0])
      case 'date':
        return new Date((data[0] as number | null) ?? Number.NaN)
      case 'map':
        return new Map(this.decode(data[0]) as [unknown, unknown][])
      case 'set':
        return new Set(this.decode(data[0]) as unknown[])
      case 'binary':
        return this.#decodeBinary(data as [string, number, number])
      case 'bare':
      case 'plain':
      case 'entries': {
        const nodes = type === 'entries' ? Object.fromEntries(data[0] as [string, unknown][]) : (data[0] as object)
        const fields = this.#decodeFields(nodes)
        return type === 'bare' || data[1] === true ? Object.setPrototypeOf(fields, null) : fields
      }
      default:
        throw new TypeError('unknown mark')
    }
  }

  #decodeFields(fields: object): Record<string, unknown> {
    // fromEntries defines each field; assigning one named __proto__ would set the prototype.
    return Object.fromEntries(Object.entries(fields).map(([field, item]) => [field, this.decode(item)]))
  }

  #decodeBinary([type, offset, length]: [string, number, number]): unknown {
    const part = this.#binaries.subarray(offset, offset + length)
    this.#unclaimedBytes -= part.length
    if (part.length !== length || this.#unclaimedBytes < 0) throw new RangeError('binary part is truncated or shared')
    const { buffer } = Uint8Array.from(part)
    return type === 'Buffer' ? Buffer.from(buffer) : new (binaryTypes[type] as typeof Uint8Array)(buffer)
  }
}

function decodeBigint(digits: string): bigint {
  if (digits.length > maxDigits + 1) throw new RangeError(`a bigint of more than ${maxDigits} digits`)
  return BigInt(digits)
}

function isPlainNumber(value: number): boolean {
  return Number.isFinite(value) && !Object.is(value, -0)
}

function numberText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value)
}

/** The most heap that a byte of JSON can take: `{},` is an empty object and its place in an array. */
const mostPerByte = 24
const objectBytes = 56
const arrayBytes = 32
const itemBytes = 16

const quote = 0x22
const comma = 0x2c
const bracket = 0x5b
const backslash = 0x5c
const brace = 0x7b

/**
 * Whether the bytes of a value can be decoded in little more than `maxBytes` of heap. A few bytes of compressed JSON can stand for
 * gigabytes of objects, so this is known before anything is parsed. The estimate needs a scan only for values that come near.
 */
export function fitsWhenDecoded(format: ValueFormat, bytes: Buffer, maxBytes: number): boolean {
  if (bytes.length > maxBytes) return false
  if (format === 'bytes' || bytes.length * mostPerByte <= maxBytes) return true
  if (format === 'json') return jsonBytes(bytes, 0, bytes.length) <= maxBytes
  const end = Math.min(bytes.length, lengthBytes + bytes.readUInt32BE())
  return bytes.length - end + jsonBytes(bytes, lengthBytes, end) <= maxBytes
}

/** The heap that the objects, arrays and texts of JSON take, roughly. */
function jsonBytes(bytes: Buffer, from: number, to: number): number {
  let total = to - from
  let isInText = false
  for (let at = from; at < to; at++) {
    const byte = bytes[at]
    if (isInText) {
      if (byte === backslash) at++
      else if (byte === quote) isInText = false
    } else if (byte === comma) total += itemBytes
    else if (byte === quote) isInText = true
    else if (byte === brace) total += objectBytes
    else if (byte === bracket) total += arrayBytes
  }
  return total
}
