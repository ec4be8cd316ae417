import { isPlainObject } from './plain-object.ts'

/** What a value turned out to be. */
export interface Inspection {
  /** An estimate of what the value takes in the heap. */
  readonly bytes: number
  /** Whether `JSON.parse(JSON.stringify(value))` gives the value back, type for type. */
  readonly isJson: boolean
}

/** The value cannot be given back as it came: it holds an instance of a class, a function, a symbol, or itself. */
export class UnstorableValueError extends TypeError {}

const maxDepth = 500

/**
 * Walks a value once: is it data, how large is it, is it plain JSON. With `freeze`, freezes its plain objects and arrays.
 *
 * @throws {@link UnstorableValueError}
 */
export function inspectValue(value: unknown, freeze: boolean): Inspection {
  const walk = new Walk(freeze)
  const bytes = walk.visit(value)
  return { bytes, isJson: walk.isJson }
}

class Walk {
  isJson = true
  readonly #freeze: boolean
  readonly #path: object[] = []

  constructor(freeze: boolean) {
    this.#freeze = freeze
  }

  /** Bytes of the value, children included. The sizes are V8's, rounded up: a header and a word or two a slot. */
  visit(value: unknown): number {
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
        return 32
      case 'object':
        return value === null ? 8 : this.#enter(value)
      default:
        throw new UnstorableValueError(`a ${typeof value} cannot be stored`)
    }
  }

  #enter(value: object): number {
    if (this.#path.includes(value)) throw new UnstorableValueError('a value that contains itself cannot be stored')
    if (this.#path.length > maxDepth) throw new UnstorableValueError(`a value deeper than ${maxDepth} cannot be stored`)
    this.#path.push(value)
    const bytes = this.#visitObject(value)
    this.#path.pop()
    return bytes
  }

  #visitObject(value: object): number {
    if (Array.isArray(value)) return this.#visitArray(value)
    if (isPlainObject(value)) return this.#visitPlain(value)
    this.isJson = false
    const prototype = Object.getPrototypeOf(value)
    if (prototype === Date.prototype) return 96
    if (ArrayBuffer.isView(value) && isBinary(prototype)) return 160 + value.byteLength
    if (prototype === Set.prototype) return this.#visitAll(value as Set<unknown>, 96, 32)
    if (prototype === Map.prototype) {
      return this.#visitAll([...(value as Map<unknown, unknown>)].flat(), 96, 32)
    }
    throw new UnstorableValueError(`an instance of ${value.constructor?.name ?? 'a class'} cannot be stored`)
  }

  #visitArray(value: readonly unknown[]): number {
    let bytes = 32
    for (let index = 0; index < value.length; index++) bytes += 8 + this.visit(value[index])
    if (this.#freeze) Object.freeze(value)
    return bytes
  }

  #visitPlain(value: Record<string, unknown>): number {
    if (Object.getPrototypeOf(value) !== Object.prototype) this.isJson = false
    let bytes = 56
    for (const field of Object.keys(value)) bytes += 16 + this.visit(value[field])
    if (this.#freeze) Object.freeze(value)
    return bytes
  }

  #visitAll(parts: Iterable<unknown>, header: number, slot: number): number {
    let bytes = header
    for (const part of parts) bytes += slot + this.visit(part)
    return bytes
  }
}

/** Text with a character beyond Latin-1 takes two bytes a character; telling exactly would cost a scan in JavaScript. */
function stringBytes(text: string): number {
  const isAscii = text.length < 16 ? false : Buffer.byteLength(text) === text.length
  return 24 + (isAscii ? text.length : text.length * 2)
}

const binaryPrototypes: ReadonlySet<object> = new Set([
  Buffer.prototype,
  ...[Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array].map(prototypeOf),
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array].map(prototypeOf),
])

function prototypeOf(type: { readonly prototype: object }): object {
  return type.prototype
}

function isBinary(prototype: object): boolean {
  return binaryPrototypes.has(prototype)
}
