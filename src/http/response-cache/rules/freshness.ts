import { type AnswerHead, headerOf } from './answer-head.ts'

/** How long a response may be used (RFC 9111, 4.2; RFC 5861), in seconds from now. */
interface Lifetimes {
  /** `undefined` when the response does not say. */
  readonly lifetime: number | undefined
  /** How old the response was when it came. */
  readonly age: number
  /** How long it may be served stale while it is renewed; `undefined` when it does not say. */
  readonly staleWhileRevalidate: number | undefined
  /** How long it may be served stale when it cannot be renewed; `undefined` when it does not say. */
  readonly staleIfError: number | undefined
}

/**
 * Directives of `Cache-Control` by name in lower case (RFC 9111, 5.2), without quotes; `true` for those without a value.
 *
 * @returns `undefined` when the field cannot be read: then nothing may be assumed
 */
export function parseDirectives(field: string): ReadonlyMap<string, string | true> | undefined {
  const directives = new Map<string, string | true>()
  let rest = field.replace(/^[\s,]+/, '')
  while (rest !== '') {
    const match = directive.exec(rest)
    if (match === null) return undefined
    const [all, name, token, quoted] = match as unknown as [string, string, string?, string?]
    const key = name.toLowerCase()
    const value = quoted === undefined ? (token ?? true) : quoted.replace(/\\(.)/g, '$1')
    // Of two values the stricter one counts, and which one that is depends on the directive.
    directives.set(key, directives.has(key) && directives.get(key) !== value ? 'conflicting' : value)
    rest = rest.slice(all.length)
  }
  return directives
}

/** A name, a token or a quoted string, and the commas after it. */
const directive = /^([!#$%&'*+.^`|~\w-]+)(?:=(?:([!#$%&'*+.^`|~\w-]+)|"((?:[^"\\]|\\.)*)"))?\s*(?:,[\s,]*|$)/

/** What the fields say; anything invalid means stale. */
export function readFreshness(answer: AnswerHead, now: number): Lifetimes {
  const header = headerOf(answer)
  const directives = parseDirectives(header('cache-control') ?? '')
  // `Age` must not be a list. If it is one, its first value counts (RFC 9111, 5.1).
  const firstAge = header('age')?.split(',', 1)[0]?.trim()
  const age = firstAge === undefined ? 0 : (seconds(firstAge) ?? Number.POSITIVE_INFINITY)
  const secondsOf = (name: string) => (directives?.has(name) ? (seconds(directives.get(name)) ?? 0) : undefined)
  const mustRevalidate = directives?.has('must-revalidate') || directives?.has('proxy-revalidate')
  const stale = (name: string) => (mustRevalidate ? 0 : secondsOf(name))
  const lifetime =
    directives === undefined ? 0 : (secondsOf('s-maxage') ?? secondsOf('max-age') ?? expiryOf(header, now))
  return {
    lifetime: lifetime === undefined ? undefined : Math.max(0, lifetime - age),
    age: Number.isFinite(age) ? age : 0,
    staleWhileRevalidate: stale('stale-while-revalidate'),
    staleIfError: stale('stale-if-error'),
  }
}

/** An invalid date, as in `Expires: 0`, means that the answer has expired (RFC 9111, 5.3). */
function expiryOf(header: (name: string) => string | undefined, now: number): number | undefined {
  const expires = header('expires')
  if (expires === undefined) return undefined
  const date = header('date')
  const from = date === undefined ? now : parseHttpDate(date)
  const lifetime = (parseHttpDate(expires) - from) / 1_000
  return Number.isFinite(lifetime) ? Math.max(0, lifetime) : 0
}

/** The preferred form of a date and the two obsolete ones (RFC 9110, 5.6.7); `Date.parse` would take far more. */
export function parseHttpDate(text: string): number {
  if (!httpDate.test(text)) return Number.NaN
  const withCentury = text.replace(/-(\d\d) /, (_, year: string) => `-${fullYear(Number(year))} `)
  return Date.parse(withCentury.endsWith('GMT') ? withCentury : `${withCentury} GMT`)
}

/** Two digits mean a year that is at most 50 years ahead. */
function fullYear(year: number): number {
  return 2_000 + year > new Date().getUTCFullYear() + 50 ? 1_900 + year : 2_000 + year
}

const httpDate =
  /^(?:\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT|\w{6,9}, \d\d-\w{3}-\d\d \d\d:\d\d:\d\d GMT|\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})$/

function seconds(value: string | true | undefined): number | undefined {
  return typeof value === 'string' && /^\d+$/.test(value) ? Math.min(Number(value), longestSeconds) : undefined
}

/** A larger number stands for this one (RFC 9111, 1.2.2), so that no sum or difference of two is `NaN`. */
const longestSeconds = 2 ** 31
