import { describeValue } from '../shared/arguments.ts'
import { isPlainObject } from '../shared/plain-object.ts'
import { nodeCrypto, nodeUtil } from '../shared/platform/builtins.ts'

/**
 * The key of an entry: a string or a tuple. Each part of a tuple is encoded without loss, so `['a', 1]` is not `['a', '1']`.
 * Parts are strings, numbers, bigints, booleans, `null`, `undefined`, `Date`s, `Uint8Array`s, and arrays and plain objects of
 * these. The order of an object's fields does not matter.
 */
export type Key = string | readonly unknown[]

const maxLength = 200
const maxDepth = 32

/**
 * Encodes a key as a string; different keys have different strings. A string of more than 200 characters becomes its SHA-256.
 *
 * @throws TypeError when it is no {@link Key}
 */
export function encodeKey(key: Key): string {
  if (typeof key === 'string') {
    if (key.length <= maxLength && !isReserved(key.charCodeAt(0))) return key
    return shorten(JSON.stringify(key))
  }
  if (Array.isArray(key)) return shorten(encodeList(key, 0))
  throw new TypeError(`Expected \`key\` to be a string or an array, got ${describeValue(key)}`)
}

/**
 * Encoded tuples, encoded strings and hashes begin with one of these characters. A plain string that begins with one is
 * encoded too.
 */
function isReserved(code: number): boolean {
  return code === 0x5b /* [ */ || code === 0x22 /* " */ || code === 0x23 /* # */
}

function shorten(text: string): string {
  return text.length <= maxLength ? text : `#${nodeCrypto().createHash('sha256').update(text).digest('base64url')}`
}

function encodeList(parts: readonly unknown[], depth: number): string {
  let text = '['
  for (let index = 0; index < parts.length; index++) {
    if (index > 0) text += ','
    text += encodePart(parts[index], depth)
  }
  return `${text}]`
}

function encodePart(part: unknown, depth: number): string {
  switch (typeof part) {
    case 'string':
      return JSON.stringify(part)
    case 'number':
      return Object.is(part, -0) ? '-0' : String(part)
    case 'bigint':
      return `${part}n`
    case 'boolean':
    case 'undefined':
      return String(part)
    case 'object':
      return part === null ? 'null' : encodeObject(part, depth + 1)
    default:
      return refuse(part)
  }
}

function encodeObject(part: object, depth: number): string {
  if (depth > maxDepth) throw new TypeError(`Expected \`key\` to be at most ${maxDepth} levels deep`)
  if (Array.isArray(part)) return encodeList(part, depth)
  const { isDate, isUint8Array } = nodeUtil().types
  if (isDate(part)) return `D${part.getTime()}`
  if (isUint8Array(part)) return `B${Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('base64')}`
  if (!isPlainObject(part)) return refuse(part)
  // Some query builders name their operators by symbols. If symbols were left out, `{ [gt]: 1 }` and `{ [lt]: 1 }` would be
  // one key.
  if (Object.getOwnPropertySymbols(part).length > 0) refuse(Object.getOwnPropertySymbols(part)[0])
  const fields = Object.keys(part).sort()
  return `{${fields.map((field) => `${JSON.stringify(field)}:${encodePart(part[field], depth)}`).join(',')}}`
}

function refuse(part: unknown): never {
  const what = typeof part === 'object' ? `an instance of ${part?.constructor?.name}` : describeValue(part)
  throw new TypeError(`Expected every part of \`key\` to be plain data, got ${what}`)
}

/** UTF-8 would replace every lone surrogate by the same character, so keys with lone surrogates are encoded as JSON. */
export function toStoreKey(key: string): string {
  return key.isWellFormed() ? key : JSON.stringify(key)
}
