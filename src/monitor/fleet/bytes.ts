/** Writes whole numbers, floating-point numbers, texts and byte strings one after the other. */
export class ByteWriter {
  #bytes = new Uint8Array(4_096)
  #length = 0

  /** A whole number from 0 up, as a variable-length number with seven bits a byte. */
  number(value: number): this {
    this.#reserve(10)
    while (value > 127) {
      this.#bytes[this.#length++] = (value % 128) | 128
      value = Math.floor(value / 128)
    }
    this.#bytes[this.#length++] = value
    return this
  }

  float(value: number): this {
    this.#reserve(8)
    new DataView(this.#bytes.buffer).setFloat64(this.#length, value)
    this.#length += 8
    return this
  }

  /** `null` is written as `NaN`. */
  optional(value: number | null): this {
    return this.float(value ?? Number.NaN)
  }

  /** @param maxBytes - a longer text is cut, because readers would refuse all that was written */
  text(value: string, maxBytes: number): this {
    const bytes = encoder.encode(value)
    if (bytes.length <= maxBytes) return this.block(bytes)
    const cut = new Uint8Array(maxBytes)
    return this.block(cut.subarray(0, encoder.encodeInto(value, cut).written))
  }

  block(bytes: Uint8Array): this {
    this.number(bytes.length)
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count))
    larger.set(this.#bytes)
    this.#bytes = larger
  }
}

/** Reads the bytes of a {@link ByteWriter} in another process. Every method throws RangeError when they are invalid. */
export class ByteReader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  number(max: number = Number.MAX_SAFE_INTEGER): number {
    let value = 0
    for (let factor = 1; value <= max && factor <= Number.MAX_SAFE_INTEGER; factor *= 128) {
      const byte = this.#bytes[this.#at++]
      if (byte === undefined) throw new RangeError('The bytes end too early')
      value += (byte & 127) * factor
      if (byte < 128 && value <= max) return value
    }
    throw new RangeError('A number is larger than it may be')
  }

  float(): number {
    const { buffer, byteOffset } = this.block(8)
    return new DataView(buffer, byteOffset, 8).getFloat64(0)
  }

  /** A finite number from 0 up, or `null`. */
  optional(): number | null {
    const value = this.float()
    if (Number.isNaN(value)) return null
    if (value >= 0 && value < Infinity) return value
    throw new RangeError('A measure is no finite number from 0 up')
  }

  /** @throws TypeError when the bytes are not UTF-8 */
  text(maxBytes: number): string {
    return decoder.decode(this.block(this.number(maxBytes)))
  }

  /** The next `length` bytes, as a view. */
  block(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) throw new RangeError('The bytes end too early')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }
}

const encoder = /* @__PURE__ */ new TextEncoder()
const decoder = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true })
