import type { Key } from '../../cache/key.ts'
import { describeValue } from '../../shared/arguments.ts'
import { watchRejection } from '../../shared/rejections.ts'
import type { HttpCacheSettings } from './http-cache-options.ts'
import { canonicalQuery, rawName } from './rules/query-parameters.ts'
import type { CachedRequest } from './rules/request-rules.ts'

/**
 * The key that a response is stored under, or `null` when the user's `key` refuses the request. It holds the bytes of the
 * request line, not what a parser makes of them. Host and protocol are part of it, because the handler may build links from
 * them.
 */
export function responseKey<Request>(
  request: CachedRequest<Request>,
  { vary, keyOf, query }: HttpCacheSettings<Request>,
): Key | null {
  const userKey: unknown = keyOf?.(request.original)
  if (keyOf !== undefined && !Array.isArray(userKey)) return refusedKey(userKey)
  // With a user's key, only listed parameters are added: the key says how the answer depends on the others.
  const parameters = keyOf === undefined ? canonicalQuery(request.query) : listedQuery(request.query, query)
  let text = `http3${keyPart(request.route)}${keyPart(request.path)}${keyPart(parameters)}${keyPart(request.header('host'))}`
  // Most requests have none of these, and a part for each absent one would cost as much as all the other parts.
  for (const name of originHeaders) {
    const value = request.header(name)
    if (value !== undefined && value !== null) text += `${name}${keyPart(value)}`
  }
  for (const name of vary) text += keyPart(request.header(name))
  return keyOf === undefined ? text : [text, userKey]
}

/**
 * A `key` that returns nothing refuses the request. If nothing counted as a key, all clients would share it.
 *
 * @throws TypeError for anything else that is no list
 */
function refusedKey(userKey: unknown): null {
  if (userKey === null || userKey === undefined || userKey === false) return null
  watchRejection(userKey)
  throw new TypeError(`Expected \`key\` to return a list, or null, got ${describeValue(userKey)}`)
}

function listedQuery(query: string, listed: ReadonlySet<string> | 'all'): string {
  if (query === '' || listed === 'all') return canonicalQuery(query)
  const isListed = (parameter: string) =>
    listed.has(rawName(parameter)) || listed.has(new URLSearchParams(parameter).keys().next().value ?? '')
  return canonicalQuery(query.split('&').filter(isListed).join('&'))
}

/** The key of a variant of the response, such as its body in one coding. */
export function extendKey(key: Key, values: readonly (string | null)[]): Key {
  const text = values.map(keyPart).join('')
  return typeof key === 'string' ? key + text : [...key, text]
}

/** The headers in which a client or a proxy names the origin. Handlers build links from them. */
export const originHeaders: readonly string[] = [
  'forwarded',
  ...['host', 'proto', 'port', 'prefix'].map((part) => `x-forwarded-${part}`),
]

/**
 * A value with its length in front, so that values cannot run into each other. A list as the key would be slow to encode.
 */
function keyPart(value: string | null | undefined): string {
  return value === null || value === undefined ? '~' : `|${value.length}:${value}`
}
