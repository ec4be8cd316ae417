import { messageOf } from '../../shared/errors.ts'
import { nodeCrypto } from '../../shared/platform/builtins.ts'
import { meansProduction } from '../../shared/platform/runtime.ts'
import { withDeadline } from '../../shared/time/waiting.ts'
import type { Warning } from '../../shared/warnings.ts'
import { type HttpAnswer, type HttpRequest, problem } from '../answer.ts'

/**
 * Who may see statistics, metrics and the page: everyone (`'public'`); clients that send the token, as `Authorization: Bearer`
 * or as the password of the browser's login; or the requests for which the function returns `true`.
 */
export type Authorize<Request = unknown> =
  | 'public'
  | { readonly bearer: string }
  | ((request: Request) => boolean | Promise<boolean>)

/** A function that takes longer allows nothing. */
const authorizeMs = 5_000

type Refusal = HttpAnswer | undefined

/** Returns the answer that refuses a request, or `undefined` when the request is allowed; a promise if the user's function decides. */
export type Gate = (request: HttpRequest) => Refusal | Promise<Refusal>

/**
 * Makes the gate of the performance routes. Without `authorize`, the token in the variable `PERFORMANCE_STATS_TOKEN` decides.
 * Without a token too, the routes answer 404 in production. Elsewhere everyone is allowed, which is said once unless `NODE_ENV` is
 * `development` or `test`.
 *
 * @throws TypeError when `authorize` has another form, or its token is empty
 */
export function createGate(
  authorize: Authorize<never> | undefined,
  env: Readonly<Record<string, string | undefined>>,
  warn: (warning: Warning) => void,
): Gate {
  const rule = authorize ?? fromEnvironment(env)
  if (rule === 'public') return () => undefined
  if (rule === 'open') {
    return () => {
      warn({
        code: 'PERFORMANCE_ROUTES_OPEN',
        message:
          'Everybody may see the performance routes, because NODE_ENV is not production: set `authorize` or PERFORMANCE_STATS_TOKEN',
      })
      return undefined
    }
  }
  if (rule === 'closed') {
    return () => {
      warn({
        code: 'PERFORMANCE_ROUTES_CLOSED',
        message: 'The performance routes answer 404 in production until `authorize` or PERFORMANCE_STATS_TOKEN is set',
      })
      return problem(404, 'There is nothing here')
    }
  }
  if (typeof rule === 'function') {
    const isAllowed = rule as (request: unknown) => boolean | Promise<boolean>
    return async ({ original }) => ((await decide(isAllowed, original, warn)) ? undefined : problem(403, 'Not allowed'))
  }
  if (typeof rule !== 'object' || rule === null || typeof rule.bearer !== 'string' || rule.bearer.trim() === '') {
    throw new TypeError("Expected `authorize` to be 'public', { bearer: token } with a token, or a function")
  }
  const expected = digest(rule.bearer)
  return (request) => {
    const tokens = readTokens(request.header('authorization'))
    if (tokens.some((token) => nodeCrypto().timingSafeEqual(digest(token), expected))) return undefined
    return problem(401, 'A valid bearer token is needed', { 'www-authenticate': 'Bearer' })
  }
}

/** Asks the user's function. If it throws or takes too long, the request is refused, and the error goes to the log alone. */
async function decide(
  isAllowed: (request: unknown) => boolean | Promise<boolean>,
  original: unknown,
  warn: (warning: Warning) => void,
): Promise<boolean> {
  const warnOf = (message: string) => {
    warn({ code: 'PERFORMANCE_AUTHORIZE', message: `\`authorize\` ${message}, so the request was refused` })
    return false
  }
  const asked = (async () => isAllowed(original))().then(
    (answered) => answered === true,
    (error) => warnOf(`failed (${messageOf(error)})`),
  )
  return withDeadline(asked, authorizeMs, () => warnOf(`took longer than ${authorizeMs} ms`))
}

function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Authorize | 'closed' | 'open' {
  const token = env.PERFORMANCE_STATS_TOKEN?.trim()
  if (token !== undefined && token !== '') return { bearer: token }
  if (meansProduction(env.NODE_ENV)) return 'closed'
  const mode = (env.NODE_ENV ?? '').trim().toLowerCase()
  // Somebody who set `NODE_ENV` to this needs no warning that the routes are open.
  return mode === 'development' || mode === 'test' ? 'public' : 'open'
}

/**
 * What the client may have sent as the token. A browser sends it as the password of its login (RFC 7617), with any user
 * name. Most clients send a token beyond ASCII as UTF-8, and Node reads it as Latin-1.
 */
function readTokens(header: string | undefined): string[] {
  const [, scheme = '', credentials = ''] = /^(bearer|basic) +(.*)$/i.exec(header ?? '') ?? []
  if (scheme === '') return []
  if (scheme.toLowerCase() === 'bearer') return [credentials, Buffer.from(credentials, 'latin1').toString()]
  const login = Buffer.from(credentials, 'base64').toString()
  return [login.replace(/^[^:]*:/, '')]
}

/**
 * Digests have the same length, so that the time of a comparison does not reveal the token's length. A token that was read from a file
 * ends with a line break, which no header can hold.
 */
function digest(token: string): Buffer {
  return nodeCrypto().createHash('sha256').update(token.trim()).digest()
}
