import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { CursorInvalidError, CursorMismatchError, QueryUnsupportedError } from './errors.ts'
import type { Position } from './position.ts'

const version = 1
const maxLength = 2_048

/** What a cursor holds. */
export interface CursorContent {
  readonly position: Position
  /** The number of the page that it leads to, where pages are counted. */
  readonly page: number | undefined
}

/** Turns positions into opaque text and back. */
export interface CursorCodec {
  /** @throws QueryUnsupportedError when the text would be longer than 2 KB */
  encode(fingerprint: string, content: CursorContent): string
  /**
   * @throws CursorInvalidError when the text was not written by such a codec
   * @throws CursorMismatchError when it was written for another fingerprint
   */
  decode(fingerprint: string, cursor: unknown): CursorContent
}

/**
 * A cursor is `<body>.<tag>`. The body is base64url of JSON; the tag is a MAC of the body under the newest secret, and
 * without a secret a checksum, which shows damage but not intent.
 *
 * @param secrets - the newest first; cursors under any of them are read
 */
export function createCursorCodec(secrets: readonly string[]): CursorCodec {
  const newest = secrets[0]
  const tagOf = newest === undefined ? checksum : (body: string) => mac(newest, body)
  const isGenuine =
    newest === undefined
      ? (body: string, tag: string) => checksum(body) === tag
      : (body: string, tag: string) => secrets.some((secret) => isSame(mac(secret, body), tag))
  return {
    encode(fingerprint, { position, page }) {
      const body = toBase64url(JSON.stringify([version, fingerprint, page ?? 0, ...position]))
      const cursor = `${body}.${tagOf(body)}`
      if (body !== '' && cursor.length <= maxLength) return cursor
      throw new QueryUnsupportedError(
        `The keys of a row are too long for a cursor of ${maxLength} bytes: page by shorter ones`,
      )
    },
    decode(fingerprint, cursor) {
      const body = genuineBody(cursor, isGenuine)
      const content: unknown = body === undefined ? undefined : parse(body)
      if (!isContent(content)) throw new CursorInvalidError('The cursor is not valid')
      if (content[1] !== fingerprint) {
        throw new CursorMismatchError('The cursor belongs to another list: another order, filter or owner')
      }
      return { position: content.slice(3) as string[], page: content[2] === 0 ? undefined : content[2] }
    },
  }
}

const fingerprints = new Map<string, string>()

/** A short name of the order and scope that a cursor belongs to. */
export function fingerprintOf(signature: string, scope: unknown): string {
  if (scope !== undefined) return digest(`${signature}\n\n${scopeText(scope)}`)
  const known = fingerprints.get(signature)
  if (known !== undefined) return known
  const fingerprint = digest(signature)
  if (fingerprints.size < 1_000) fingerprints.set(signature, fingerprint)
  return fingerprint
}

function digest(text: string): string {
  return hash('sha256', text, 'base64url').slice(0, 16)
}

function genuineBody(cursor: unknown, isGenuine: (body: string, tag: string) => boolean): string | undefined {
  if (typeof cursor !== 'string' || cursor.length > maxLength) return undefined
  const dot = cursor.indexOf('.')
  const body = cursor.slice(0, dot)
  return dot > 0 && isGenuine(body, cursor.slice(dot + 1)) ? body : undefined
}

function isSame(left: string, right: string): boolean {
  const [one, other] = [Buffer.from(left), Buffer.from(right)]
  return one.length === other.length && timingSafeEqual(one, other)
}

function mac(secret: string, body: string): string {
  return createHmac('sha256', secret).update(body).digest('base64url').slice(0, 22)
}

function checksum(body: string): string {
  return String(crc32(body))
}

/** Bytes on their way; a buffer made for each cursor would take as long as the rest of it. */
const scratch = Buffer.allocUnsafeSlow(maxLength * 3)

/** Nothing for what is too long. */
function toBase64url(text: string): string {
  return text.length > maxLength ? '' : scratch.toString('base64url', 0, scratch.write(text))
}

function parse(body: string): unknown {
  try {
    return JSON.parse(scratch.toString('utf8', 0, scratch.write(body, 'base64url')))
  } catch {
    return undefined
  }
}

function isContent(value: unknown): value is [version: 1, fingerprint: string, page: number, ...position: string[]] {
  if (!Array.isArray(value) || value[0] !== version || !Number.isSafeInteger(value[2]) || value[2] < 0) return false
  return value.slice(3).every((key) => key === null || typeof key === 'string')
}

/** JSON that is the same for equal scopes, whatever the order of their keys. */
function scopeText(scope: unknown): string {
  const text = JSON.stringify(scope, (_name, value: unknown) => {
    if (typeof value === 'bigint') return { bigint: String(value) }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      if (typeof value === 'function' || typeof value === 'symbol') refuseScope()
      return value
    }
    const prototype = Object.getPrototypeOf(value)
    if (prototype !== Object.prototype && prototype !== null) refuseScope()
    return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
  })
  return text
}

function refuseScope(): never {
  throw new TypeError(
    'Expected `scope` to hold only plain values: strings, numbers, booleans, dates, arrays and objects',
  )
}
