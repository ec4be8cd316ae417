import { createHash } from 'node:crypto'
import { types } from 'node:util'
import { describeValue } from '../shared/assertions.ts'
import { isPlainObject } from './plain-object.ts'

/**
 * What an entry is stored under: a string, or a tuple whose parts are encoded one by one without loss, so that they cannot
 * run into each other and `['a', 1]` is not `['a', '1']`. Parts are strings, numbers, bigints, booleans, `null`, `undefined`,
 * `Date`s, `Uint8Array`s, arrays and plain objects of these; the order of an object's keys does not matter.
 */
export type Key = string | readonly unknown[]

const maxLength = 200
const maxDepth = 32

/**
 * One string for a key, a different one for every different key. What is longer than 200 characters becomes its SHA-256.
 *
 * @throws TypeError for anything that is no {@link Key}
 */
export function encodeKey(key: Key): string {
  if (typeof key === 'string') {
    if (key.length <= maxLength && !isReserved(key.charCodeAt(0))) return key
    return shorten(JSON.stringify(key))
  }
  if (Array.isArray(key)) return shorten(encodeList(key, 0))
  throw new TypeError(`Expected \`key\` to be a string or an array, got ${describeValue(key)}`)
}

/** The first characters of encoded tuples, of encoded strings and of hashes: no plain string may begin like them. */
function isReserved(code: number): boolean {
  return code === 0x5b /* [ */ || code === 0x22 /* " */ || code === 0x23 /* # */
}

function shorten(text: string): string {
  return text.length <= maxLength ? text : `#${createHash('sha256').update(text).digest('base64url')}`
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
  if (types.isDate(part)) return `D${part.getTime()}`
  if (types.isUint8Array(part))
    return `B${Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString('base64')}`
  if (!isPlainObject(part)) return refuse(part)
  const fields = Object.keys(part).sort()
  return `{${fields.map((field) => `${JSON.stringify(field)}:${encodePart(part[field], depth)}`).join(',')}}`
}

function refuse(part: unknown): never {
  const what = typeof part === 'object' ? `an instance of ${part?.constructor?.name}` : describeValue(part)
  throw new TypeError(`Expected every part of \`key\` to be plain data, got ${what}`)
}

/** The key as UTF-8 can carry it: half a surrogate pair would become a replacement character, the same for all halves. */
export function toStoreKey(key: string): string {
  return key.isWellFormed() ? key : JSON.stringify(key)
}
