import type { ValueFormat } from './value-codec.ts'

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
  const end = Math.min(bytes.length, 4 + bytes.readUInt32BE())
  return bytes.length - end + jsonBytes(bytes, 4, end) <= maxBytes
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
