import { inheritsNothing, isPlainObject } from '../../shared/plain-object.ts'
import { nodeUtil } from '../../shared/platform/builtins.ts'

export interface Inspection {
  /** An estimate of the heap that the value takes. */
  readonly bytes: number
  /** Whether `JSON.parse(JSON.stringify(value))` returns the value, type for type. */
  readonly isJson: boolean
}

/** The format of a payload: JSON text, JSON with marks for other types, or the bytes themselves. */
export type ValueFormat = 'json' | 'marked' | 'bytes'

export interface EncodedValue {
  readonly format: ValueFormat
  readonly bytes: Buffer
}

/** The value is not plain data: it holds an instance of a class, a function, a symbol, or itself. */
export class UnstorableValueError extends TypeError {
  constructor(what: string) {
    super(`${what} cannot be stored`)
  }
}

const maxDepth = 500
/** To parse a million digits takes seconds. */
const maxDigits = 10_000
/** Made when it is first needed, because it takes a while. */
let tooManyDigits: bigint | undefined

/** In the format `marked`, `{ $: [type, …] }` stands for a value whose type JSON lacks. */
const mark = '$'
/**
 * A name of one character that JSON escapes. `JSON.parse` of Node 24 and 26 reads it as a backslash where an earlier object of the
 * same shape had a field named backslash: after `{"id":1,"\\":2}`, it reads `{"id":1,"\n":2}` as the same object.
 */
const misreadName = /^["\\\p{Cc}\p{Cs}]$/u
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
  // Node 24 has it.
  ...(typeof Float16Array === 'undefined' ? {} : { Float16Array }),
} as const

/**
 * Measures a value, and checks that it is plain data. With `freeze`, it then freezes its plain objects and arrays.
 * @param isDecoded - whether {@link decodeValue} has made the value, so that its objects have no hidden properties
 * @throws {@link UnstorableValueError}
 */
export function inspectValue(value: unknown, freeze: boolean, isDecoded = false): Inspection {
  const inspector = new Inspector(isDecoded)
  const bytes = inspector.measure(value)
  if (freeze) for (const plain of inspector.plainObjects) Object.freeze(plain)
  return { bytes, isJson: inspector.isJson }
}

/** Encodes a value that {@link inspectValue} has accepted. */
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

class Inspector {
  isJson = true
  /** Plain arrays too. */
  readonly plainObjects: object[] = []
  readonly #isDecoded: boolean
  readonly #path: object[] = []
  readonly #buffers = new Set<ArrayBufferLike>()

  constructor(isDecoded: boolean) {
    this.#isDecoded = isDecoded
  }

  /** Bytes of the value and its children. The sizes are V8's, rounded up: a header, and one or two words for each slot. */
  measure(value: unknown): number {
    switch (typeof value) {
      case 'string':
        return stringBytes(value)
      case 'number':
        if (!Number.isFinite(value) || Object.is(value, -0)) this.isJson = false
        return 16
      case 'boolean':
        return 8
      case 'undefined':
        this.isJson = false
        return 8
      case 'bigint':
        this.isJson = false
        tooManyDigits ??= BigInt(`1${'0'.repeat(maxDigits)}`)
        if (value < tooManyDigits && value > -tooManyDigits) return 32
        throw new UnstorableValueError(`a bigint of more than ${maxDigits} digits`)
      case 'object':
        return value === null ? 8 : this.#enter(value)
      default:
        throw new UnstorableValueError(`a ${typeof value}`)
    }
  }

  #enter(value: object): number {
    if (this.#path.includes(value)) throw new UnstorableValueError('a value that contains itself')
    if (this.#path.length > maxDepth) throw new UnstorableValueError(`a value deeper than ${maxDepth}`)
    this.#path.push(value)
    const bytes = this.#measureObject(value)
    this.#path.pop()
    return bytes
  }

  #measureObject(value: object): number {
    if (Array.isArray(value)) return this.#measureArray(value)
    const prototype = Object.getPrototypeOf(value)
    if (prototype === Object.prototype) return this.#measurePlain(value)
    this.isJson = false
    // Some parsers make objects whose prototype is an empty object. They would come back without it.
    if (prototype === null || (isPlainObject(value) && !inheritsNothing(value))) return this.#measurePlain(value)
    const name = value.constructor?.name ?? 'a class'
    if (!builtInPrototypes.has(prototype)) throw new UnstorableValueError(`an instance of ${name}`)
    if (!this.#isDecoded && hasProperties(value)) {
      throw new UnstorableValueError(`an instance of ${name} with properties`)
    }
    if (prototype === Date.prototype) return 96
    if (prototype === Set.prototype) return this.#measureAll(value as Set<unknown>, 96, 32)
    if (prototype === Map.prototype) {
      return this.#measureAll([...(value as Map<unknown, unknown>)].flat(), 96, 32)
    }
    return 160 + this.#measureView(value as ArrayBufferView)
  }

  /**
   * A view keeps its whole buffer in memory, which counts once for all views of it. Of Node's pool, which others share, only
   * the view counts.
   */
  #measureView({ buffer, byteLength }: ArrayBufferView): number {
    if (buffer.byteLength === Buffer.poolSize) return byteLength
    if (this.#buffers.has(buffer)) return 0
    this.#buffers.add(buffer)
    return buffer.byteLength
  }

  #measureArray(value: readonly unknown[]): number {
    if (!this.#isDecoded && !isPlainArray(value)) {
      throw new UnstorableValueError('an array of a subclass, with properties or with holes')
    }
    let bytes = 32
    for (let index = 0; index < value.length; index++) bytes += 8 + this.measure(value[index])
    this.plainObjects.push(value)
    return bytes
  }

  #measurePlain(value: object): number {
    const fields = Object.keys(value)
    if (!this.#isDecoded && !hasOnlyFields(value, fields)) {
      throw new UnstorableValueError('an object with hidden properties or with symbols for names')
    }
    let bytes = 56
    for (const field of fields) {
      if (field.length === 1 && misreadName.test(field)) this.isJson = false
      bytes += 16 + this.measure((value as Record<string, unknown>)[field])
    }
    this.plainObjects.push(value)
    return bytes
  }

  #measureAll(items: Iterable<unknown>, header: number, slot: number): number {
    let bytes = header
    for (const item of items) bytes += slot + this.measure(item)
    return bytes
  }
}

/**
 * The heap of a text. Its header has 24 bytes. Concatenated texts have 32 more; half of that is counted for all. With a
 * character beyond Latin-1, each character takes two bytes. All texts that are not ASCII count so, because an exact test
 * would need a scan in JavaScript.
 */
function stringBytes(text: string): number {
  const isAscii = text.length < 16 ? false : Buffer.byteLength(text) === text.length
  return 40 + (isAscii ? text.length : text.length * 2)
}

/**
 * Drivers return arrays of a class of their own, or with properties such as `count` or a hidden `meta`. They would come back
 * without these, and an array with holes without its holes.
 */
function isPlainArray(value: readonly unknown[]): boolean {
  // The prototype of plain arrays is an array itself, in every realm. And `length` is one of the keys.
  if (!Array.isArray(Object.getPrototypeOf(value)) || Reflect.ownKeys(value).length !== value.length + 1) return false
  return !value.includes(undefined) || value.findIndex((_item, index) => !Object.hasOwn(value, index)) === -1
}

function hasOnlyFields(value: object, fields: readonly string[]): boolean {
  // For plain objects these two are faster than `Reflect.ownKeys`.
  const names = Object.getOwnPropertyNames(value)
  return names.length === fields.length && Object.getOwnPropertySymbols(value).length === 0
}

/** Whether a Date, Set, Map or view has own properties. */
function hasProperties(value: object): boolean {
  if (!ArrayBuffer.isView(value)) return Reflect.ownKeys(value).length > 0
  // Listing the keys of a view takes long, because each element is a key. A new view of the same bytes has no own
  // properties: compare.
  return !nodeUtil().isDeepStrictEqual(value, (value as Uint8Array).subarray())
}

const builtInPrototypes: ReadonlySet<object> = /* @__PURE__ */ (() =>
  new Set([Date, Set, Map, Buffer, ...Object.values(binaryTypes)].map((type): object => type.prototype)))()

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
    return type === 'Buffer' ? Buffer.from(buffer) : new binaryTypes[type as 'Uint8Array'](buffer)
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
