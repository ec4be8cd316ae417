import type { HttpCacheSettings } from './http-cache-options.ts'

/** A request to a cached route. */
export interface CachedRequest<Request = unknown> {
  readonly method: string
  /** With the origin, where the server has it from the request. */
  readonly path: string
  /** Without the question mark. */
  readonly query: string
  header(name: string): string | null | undefined
  /** The framework's own, for the user's `key` and `tags`. */
  readonly original: Request
}

/** What a handler answered. */
export interface HandlerAnswer {
  readonly status: number
  /** Names are in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Absent when it is too long to keep. */
  readonly body: Buffer | undefined
  /** The client went away before the end, and with it perhaps the handler. */
  readonly isAbandoned?: boolean | undefined
}

/**
 * Why a request is not answered from the cache, as in `Cache-Status`; `undefined` when it may be. It fails closed: whatever
 * could make the answer one for this client alone bypasses the cache, unless `key` says what it depends on.
 */
export function bypassReason<Request>(
  request: CachedRequest<Request>,
  { query, keyOf }: HttpCacheSettings<Request>,
): string | undefined {
  const { method } = request
  if (method !== 'GET' && method !== 'HEAD') return 'fwd=method'
  // The handler may answer these with something other than the whole (RFC 9110, 13 and 14), or to the body.
  const special = specialHeaders.find((name) => isPresent(request.header(name)))
  if (special !== undefined) return `fwd=bypass; detail=${special}`
  if (isPresent(request.header('content-length')) && request.header('content-length') !== '0') {
    return 'fwd=bypass; detail=body'
  }
  if (/\bno-store\b/i.test(request.header('cache-control') ?? '')) return 'fwd=bypass; detail=no-store'
  if (keyOf !== undefined) return undefined
  const personal = personalHeaders.find((name) => isPresent(request.header(name)))
  if (personal !== undefined) return `fwd=bypass; detail=${personal}`
  if (query === 'all' || request.query === '') return undefined
  for (const name of new URLSearchParams(request.query).keys()) if (!query.has(name)) return 'fwd=bypass; detail=query'
  return undefined
}

/** Why an answer is not stored, or `undefined` when it is. */
export function unstorableReason(answer: Omit<HandlerAnswer, 'body'>, now: number): string | undefined {
  const header = headerOf(answer)
  if (!storableStatuses.has(answer.status)) return 'status'
  if (header('set-cookie') !== undefined) return 'set-cookie'
  const control = header('cache-control') ?? header('pragma') ?? ''
  const forbidden = /\b(?:private|no-store|no-cache)\b/i.exec(control)
  if (forbidden !== null) return forbidden[0].toLowerCase()
  if (lifetimeOf(answer, now) === 0) return 'expired'
  if (!varyNames(header('vary')).every(isHeaderName)) return 'vary'
  if (/^\s*text\/event-stream\b/i.test(header('content-type') ?? '')) return 'stream'
  if (header('content-range') !== undefined) return 'range'
  const encoding = header('content-encoding')
  return encoding === undefined || encoding === 'identity' ? undefined : 'encoded'
}

/** Seconds for which the answer itself says a shared cache may use it (RFC 9111, 4.2.1). */
export function lifetimeOf(answer: Omit<HandlerAnswer, 'body'>, now: number): number | undefined {
  const header = headerOf(answer)
  const control = header('cache-control') ?? ''
  const seconds = /\bs-maxage="?(\d+)/i.exec(control) ?? /\bmax-age="?(\d+)/i.exec(control)
  if (seconds !== null) return Number(seconds[1])
  const expires = header('expires')
  // A date that is none, as in `Expires: 0`, lies in the past.
  return expires === undefined ? undefined : Math.max(0, (Date.parse(expires) - now) / 1_000) || 0
}

/** The request headers that an answer depends on, in lower case. `Accept-Encoding` is none: the cache encodes for itself. */
export function variedBy(answer: Omit<HandlerAnswer, 'body'>): readonly string[] {
  const header = headerOf(answer)
  const names = varyNames(header('vary')).filter((name) => name !== 'accept-encoding')
  // It names one origin, so there are others, even where the handler forgot to say so.
  const origin = header('access-control-allow-origin')
  if (origin !== undefined && origin !== '*' && !names.includes('origin')) names.push('origin')
  return names.sort()
}

export function headerOf({ headers }: Pick<HandlerAnswer, 'headers'>): (name: string) => string | undefined {
  return (name) => headers.find(([other]) => other === name)?.[1]
}

/** Parts, conditions, bodies, and what makes an application take the request for another one. */
const specialHeaders = [
  ...['range', 'if-match', 'if-unmodified-since', 'upgrade', 'transfer-encoding'],
  ...['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-rewrite-url'],
]

/** Credentials, and who a proxy says that the client is. */
const personalHeaders = [
  ...['authorization', 'cookie', 'x-api-key', 'api-key', 'x-auth-token', 'x-access-token'],
  ...['x-forwarded-user', 'x-remote-user', 'x-amzn-oidc-data', 'cf-access-jwt-assertion', 'x-goog-iap-jwt-assertion'],
]

/**
 * Of the statuses that may be cached (RFC 9110, 15.1), those that are no errors: who can make a handler fail with a strange
 * header must not make it fail for all.
 */
const storableStatuses: ReadonlySet<number> = new Set([200, 203, 300, 301, 308])

function varyNames(vary: string | undefined): string[] {
  return (vary ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter((name) => name !== '')
}

/** A token (RFC 9110, 5.6.2), but not `*`. */
function isHeaderName(name: string): boolean {
  return name !== '*' && /^[\w!#$%&'*+.^`|~-]+$/.test(name)
}

function isPresent(value: string | null | undefined): value is string {
  return value !== undefined && value !== null
}
