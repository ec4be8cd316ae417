import { isPlainObject } from '../shared/plain-object.ts'
import { nodeCrypto, nodeZlib } from '../shared/platform/builtins.ts'
import { watchRejection } from '../shared/rejections.ts'
import { CursorInvalidError, CursorMismatchError, QueryUnsupportedError } from './errors.ts'

const version = 2
const maxLength = 2_048

/** The place of a row in the order: the text of each of its keys. */
export type Position = readonly (string | null)[]

export function isSamePosition(left: Position, right: Position): boolean {
  return left.every((text, at) => text === right[at])
}

export interface CursorContent {
  readonly position: Position
  /** The number of the page that the cursor leads to, if it is known. */
  readonly page: number | undefined
}

/** Writes positions as opaque text, and reads them back. */
export interface CursorCodec {
  /** @throws QueryUnsupportedError when the text would be longer than 2 KB */
  encode(fingerprint: string, content: CursorContent): string
  /**
   * @throws CursorInvalidError when no codec with one of these secrets wrote the text
   * @throws CursorMismatchError when the text was written for another fingerprint
   */
  decode(fingerprint: string, cursor: unknown): CursorContent
  /**
   * The key values of a cursor that this library did not write.
   *
   * @throws CursorInvalidError when `decodeLegacy` does not accept the text
   */
  decodeLegacy(cursor: unknown, cause: unknown): readonly unknown[]
}

/** Reads a cursor that the application issued before it used this library: the values of its keys, `unique` included. */
export type DecodeLegacy = (cursor: string) => readonly unknown[] | undefined

/**
 * Makes cursors of the form `<body>.<tag>`. The body is JSON in base64url. The tag is a MAC of the body under the newest
 * secret; without secrets it is a checksum, which detects damage, not forgery.
 *
 * @param secrets - the newest first; cursors under any of them are accepted
 */
export function createCursorCodec(secrets: readonly string[], decodeLegacy?: DecodeLegacy): CursorCodec {
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
    decodeLegacy(cursor, cause) {
      const values =
        typeof cursor === 'string' && cursor.length <= maxLength ? valuesOf(cursor, decodeLegacy) : undefined
      // A decoder that parses JSON may return anything but an array for a text that is not a cursor.
      if (Array.isArray(values)) return values
      watchRejection(values)
      throw cause
    },
  }
}

/** A client may send any text, so a decoder that throws means a cursor that is not valid. */
function valuesOf(cursor: string, decodeLegacy: DecodeLegacy | undefined): readonly unknown[] | undefined {
  try {
    return decodeLegacy?.(cursor)
  } catch (cause) {
    throw new CursorInvalidError('The cursor is not valid', { cause })
  }
}

/** A short hash of the order and the scope that a cursor belongs to. */
export function fingerprintOf(signature: string, scope: unknown): string {
  if (scope !== undefined) return shortHash(`${signature}\n\n${scopeText(scope)}`)
  const known = fingerprints.get(signature)
  if (known !== undefined) return known
  const fingerprint = shortHash(signature)
  if (fingerprints.size < maxFingerprints) fingerprints.set(signature, fingerprint)
  return fingerprint
}

/** The fingerprints of orders without a scope, by signature. An application has few such orders. */
const fingerprints = new Map<string, string>()
const maxFingerprints = 1_000

function shortHash(text: string): string {
  return nodeCrypto().hash('sha256', text, 'base64url').slice(0, 16)
}

function genuineBody(cursor: unknown, isGenuine: (body: string, tag: string) => boolean): string | undefined {
  if (typeof cursor !== 'string' || cursor.length > maxLength) return undefined
  const dot = cursor.indexOf('.')
  const body = cursor.slice(0, dot)
  return dot > 0 && isGenuine(body, cursor.slice(dot + 1)) ? body : undefined
}

function isSame(left: string, right: string): boolean {
  const [one, other] = [Buffer.from(left), Buffer.from(right)]
  return one.length === other.length && nodeCrypto().timingSafeEqual(one, other)
}

function mac(secret: string, body: string): string {
  return nodeCrypto().createHmac('sha256', secret).update(body).digest('base64url').slice(0, 22)
}

function checksum(body: string): string {
  return String(nodeZlib().crc32(body))
}

/** Shared by all cursors: a new buffer for each would take as long as the rest of its encoding. */
const scratch = /* @__PURE__ */ Buffer.allocUnsafeSlow(maxLength * 3)

/** Returns an empty text if the body would be too long. */
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

function isContent(value: unknown): value is [version: 2, fingerprint: string, page: number, ...position: string[]] {
  if (!Array.isArray(value) || value[0] !== version || !Number.isSafeInteger(value[2]) || value[2] < 0) return false
  for (let at = 3; at < value.length; at++) if (value[at] !== null && typeof value[at] !== 'string') return false
  return true
}

/** JSON that is the same for equal scopes, in any order of their keys. */
function scopeText(scope: unknown): string {
  return JSON.stringify(scope, (_name, value: unknown) => {
    if (typeof value === 'bigint') return { bigint: String(value) }
    if (typeof value === 'function' || typeof value === 'symbol') refuseScope()
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    if (!isPlainObject(value)) refuseScope()
    return Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
  })
}

function refuseScope(): never {
  throw new TypeError(
    'Expected `scope` to hold only plain values: strings, numbers, booleans, dates, arrays and objects',
  )
}
