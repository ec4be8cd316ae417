import { inheritsNothing, isPlainObject } from '../../shared/plain-object.ts'
import { nodeUtil } from '../../shared/platform/builtins.ts'

export interface Inspection {
  /** An estimate of the heap that the value takes. */
  readonly bytes: number
  /** Whether `JSON.parse(JSON.stringify(value))` returns the value, type for type. */
  readonly isJson: boolean
}

/** The value is not plain data: it holds an instance of a class, a function, a symbol, or itself. */
export class UnstorableValueError extends TypeError {
  constructor(what: string) {
    super(`${what} cannot be stored`)
  }
}

const maxDepth = 500
/** To parse a million digits takes seconds. */
export const maxDigits = 10_000
/** Made when it is first needed, because it takes a while. */
let tooManyDigits: bigint | undefined

/**
 * A name of one character that JSON escapes. `JSON.parse` of Node 24 and 26 reads it as a backslash where an earlier object of the
 * same shape had a field named backslash: after `{"id":1,"\\":2}`, it reads `{"id":1,"\n":2}` as the same object.
 */
export const misreadName: RegExp = /^["\\\p{Cc}\p{Cs}]$/u

export const binaryTypes: Readonly<Record<string, new (buffer: ArrayBuffer) => ArrayBufferView>> = {
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
}

/**
 * Measures a value, and checks that it is plain data. With `freeze`, it then freezes its plain objects and arrays.
 * @param isDecoded - whether `decodeValue` has made the value, so that its objects have no hidden properties
 * @throws {@link UnstorableValueError}
 */
export function inspectValue(value: unknown, freeze: boolean, isDecoded = false): Inspection {
  const inspector = new Inspector(isDecoded)
  const bytes = inspector.measure(value)
  if (freeze) for (const plain of inspector.plainObjects) Object.freeze(plain)
  return { bytes, isJson: inspector.isJson }
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
