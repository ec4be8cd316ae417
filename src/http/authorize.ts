import { createHash, timingSafeEqual } from 'node:crypto'
import type { Warning } from '../shared/warnings.ts'
import { type HttpAnswer, type HttpRequest, problem } from './answer.ts'

/**
 * Who may see statistics, metrics and the page: everybody, whoever sends the token as `Authorization: Bearer` or as the
 * password of a browser's login, or whomever the function lets in.
 */
export type Authorize<Request = unknown> =
  | 'public'
  | { readonly bearer: string }
  | ((request: Request) => boolean | Promise<boolean>)

/** Says how a request is refused, and `undefined` when it is let in. */
export type Gate = (request: HttpRequest) => Promise<HttpAnswer | undefined>

/**
 * The gate of the performance routes. Without a rule, the token in `PERFORMANCE_STATS_TOKEN` decides; without that too, all
 * are let in, except in production, where the routes do not exist (404).
 *
 * @throws TypeError when the rule is none of the three, or its token is empty
 */
export function createGate(
  authorize: Authorize<never> | undefined,
  env: Readonly<Record<string, string | undefined>>,
  warn: (warning: Warning) => void,
): Gate {
  const rule = authorize ?? fromEnvironment(env)
  if (rule === 'public') return async () => undefined
  if (rule === 'closed') {
    return async () => {
      warn({
        code: 'PERFORMANCE_ROUTES_CLOSED',
        message: 'The performance routes answer 404 in production until `authorize` or PERFORMANCE_STATS_TOKEN is set',
      })
      return problem(404, 'There is nothing here')
    }
  }
  if (typeof rule === 'function') {
    const isAllowed = rule as (request: unknown) => boolean | Promise<boolean>
    return async ({ original }) => ((await isAllowed(original)) === true ? undefined : problem(403, 'Not allowed'))
  }
  if (typeof rule !== 'object' || typeof rule.bearer !== 'string' || rule.bearer === '') {
    throw new TypeError("Expected `authorize` to be 'public', { bearer: token } with a token, or a function")
  }
  const expected = digest(`Bearer ${rule.bearer}`)
  return async (request) => {
    const given = asBearer(request.header('authorization'))
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return undefined
    return problem(401, 'A valid bearer token is needed', { 'www-authenticate': 'Bearer' })
  }
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Authorize | 'closed' {
  const token = env.PERFORMANCE_STATS_TOKEN
  if (token !== undefined && token !== '') return { bearer: token }
  return env.NODE_ENV === 'production' ? 'closed' : 'public'
}

/** A browser cannot send a bearer token of its own accord, but the password of a login (RFC 7617), whatever the name. */
function asBearer(header: string | undefined): string | undefined {
  const [, scheme = '', credentials = ''] = /^(bearer|basic) +(.*)$/i.exec(header ?? '') ?? []
  if (scheme.toLowerCase() === 'bearer') return `Bearer ${credentials}`
  if (scheme === '') return undefined
  return `Bearer ${Buffer.from(credentials, 'base64')
    .toString()
    .replace(/^[^:]*:/, '')}`
}

/** Digests have one length, so that comparing them tells nothing of the token's. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
