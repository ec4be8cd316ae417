import { nodeCrypto } from '../../shared/platform/builtins.ts'
import { type AnswerHead, headerOf } from './rules/answer-head.ts'
import {
  type HandlerAnswer,
  isHeaderName,
  type PayloadForm,
  storableStatuses,
  varyingHeaders,
  varyNames,
} from './rules/answer-rules.ts'
import { readFreshness } from './rules/freshness.ts'
import type { CachedRequest } from './rules/request-rules.ts'

/** A response in the cache: the answer of a handler, its body not encoded. */
export interface StoredResponse {
  readonly status: number
  readonly message?: string | undefined
  readonly headers: AnswerHead['headers']
  /** The headers that others had set and the handler has removed. */
  readonly removed: readonly string[]
  readonly body: Buffer
  readonly form?: PayloadForm | undefined
  /** The hash of the body, for the entity tags of all its encodings. */
  readonly hash: string
  readonly storedAt: number
  /** How old it was then, as an upstream said. */
  readonly ageMs: number
  /** When the response's own lifetime ends. */
  readonly freshUntil: number | undefined
  /** Until when it may be served stale while it is renewed. */
  readonly staleUntil: number | undefined
  /** Until when it may be served stale when it cannot be renewed. */
  readonly staleIfErrorUntil: number | undefined
  /** The request headers that the response depends on, with the values that it was made for. */
  readonly varied: readonly (readonly [name: string, value: string | null])[]
}

/** @param vary - the names of the option `vary`, which caches in front of this one must know too */
export function toStored(
  answer: HandlerAnswer,
  body: Buffer,
  request: CachedRequest,
  vary: readonly string[],
  now: number,
): StoredResponse {
  const { status, message, own, removed = [], form } = answer
  const { lifetime, age, staleWhileRevalidate, staleIfError } = readFreshness(answer, now)
  const freshUntil = lifetime === undefined ? undefined : now + lifetime * 1_000
  const after = (seconds: number | undefined) =>
    freshUntil === undefined || seconds === undefined ? undefined : freshUntil + seconds * 1_000
  const varied = varyingHeaders(answer)
  const connection = (headerOf(answer)('connection') ?? '').split(',').map((name) => name.trim().toLowerCase())
  const isKept = (name: string) =>
    (own === undefined || own.has(name)) && !perAnswerHeaders.has(name) && !connection.includes(name) && name !== 'vary'
  const kept = answer.headers.filter(([name]) => isKept(name))
  const varyField = varyOf(answer, [...varied, ...vary])
  return {
    status,
    message,
    headers: [
      ...kept,
      ...(varyField === '' ? [] : [['vary', varyField] as const]),
      // Without a stored `Date`, Node would send the time of the hit, but `Expires` counts from the answer's own time.
      ...(headerOf({ headers: kept })('date') === undefined ? [['date', new Date(now).toUTCString()] as const] : []),
    ],
    removed,
    body: copyExactly(body),
    form,
    hash: nodeCrypto().hash('sha256', body, 'base64url').slice(0, 27),
    storedAt: now,
    ageMs: age * 1_000,
    freshUntil,
    staleUntil: after(staleWhileRevalidate),
    staleIfErrorUntil: after(staleIfError),
    varied: varied.map((name) => [name, request.header(name) ?? null] as const),
  }
}

/** The handler's `Vary` with what else the response depends on. */
function varyOf(answer: HandlerAnswer, names: readonly string[]): string {
  const all = new Map<string, string>()
  for (const name of varyNames(headerOf(answer)('vary'))) all.set(name.toLowerCase(), name)
  for (const name of names) if (!all.has(name)) all.set(name, titled(name))
  return [...all.values()].join(', ')
}

function titled(name: string): string {
  return name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase())
}

/**
 * Copies bytes into memory of exactly their size. An encoder's output, or a small text, is a slice of a larger buffer, which
 * would stay in memory with it; and a handler may overwrite its own buffer.
 */
export function copyExactly(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}

/** Responses that were validated already: memory gives the same object each time. */
const validated = new WeakSet<object>()

/** Whether a value from the store is a response of this format, whole: others may write to the store. */
export function isStored(value: unknown): value is StoredResponse {
  if (typeof value !== 'object' || value === null) return false
  if (validated.has(value)) return true
  const stored = value as Record<keyof StoredResponse, unknown>
  const isValid =
    storableStatuses.has(stored.status as number) &&
    (stored.message === undefined || isFieldValue(stored.message)) &&
    stored.body instanceof Uint8Array &&
    (stored.form === undefined || ['none', 'text', 'bytes', 'stream'].includes(stored.form as PayloadForm)) &&
    typeof stored.hash === 'string' &&
    /^[\w-]{27}$/.test(stored.hash) &&
    isList(stored.headers, ([name, text]) => isFieldName(name) && isFieldValue(text)) &&
    isList(stored.varied, ([name, text]) => isFieldName(name) && (text === null || typeof text === 'string')) &&
    Array.isArray(stored.removed) &&
    stored.removed.every(isFieldName) &&
    [stored.storedAt, stored.ageMs].every(Number.isFinite) &&
    [stored.freshUntil, stored.staleUntil, stored.staleIfErrorUntil].every(
      (time) => time === undefined || !Number.isNaN(time),
    )
  if (isValid) validated.add(value)
  return isValid
}

function isList(list: unknown, isPair: (pair: readonly [unknown, unknown]) => boolean): boolean {
  return Array.isArray(list) && list.every((pair) => Array.isArray(pair) && pair.length === 2 && isPair(pair as never))
}

function isFieldName(name: unknown): boolean {
  return typeof name === 'string' && name === name.toLowerCase() && isHeaderName(name)
}

/** What Node accepts in a field. */
function isFieldValue(value: unknown): boolean {
  return typeof value === 'string' && /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
}

/** Whether a stored response may answer this request (RFC 9111, 4.1). */
export function isMadeFor({ varied }: Pick<StoredResponse, 'varied'>, request: CachedRequest): boolean {
  return varied.every(([name, value]) => (request.header(name) ?? null) === value)
}

/** Headers that belong to one connection, answer or request, and must not be sent again with another. */
const perAnswerHeaders: ReadonlySet<string> = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade'],
  ...['content-length', 'content-encoding', 'etag', 'accept-ranges', 'age', 'cache-status', 'set-cookie'],
  ...['content-digest', 'repr-digest', 'digest', 'content-md5', 'server-timing', 'traceparent', 'tracestate'],
  ...['x-request-id', 'request-id', 'x-correlation-id', 'x-response-time', 'x-runtime', 'x-cache'],
  ...['proxy-authenticate', 'proxy-authentication-info', 'proxy-authorization'],
  ...['ratelimit', 'ratelimit-policy', 'ratelimit-limit', 'ratelimit-remaining', 'ratelimit-reset', 'retry-after'],
  ...['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset'],
])
