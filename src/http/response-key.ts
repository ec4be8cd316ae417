import type { Key } from '../cache/key.ts'
import type { CachedRequest } from './cache-rules.ts'
import type { HttpCacheSettings } from './http-cache-options.ts'

/**
 * What a response is stored under, or `null` when `key` says that the request is not cached. Host and protocol as the client
 * sees them are in it, because links in a body may be made of them.
 */
export function responseKey<Request>(
  request: CachedRequest<Request>,
  { query, vary, keyOf }: HttpCacheSettings<Request>,
): Key | null {
  const own = keyOf?.(request.original)
  if (own === null) return null
  const parameters = listed(request.query, query)
  let text = `http${part(request.path)}${part(String(parameters.length))}`
  for (const [name, value] of parameters) text += part(name) + part(value)
  for (const name of [...originHeaders, ...vary]) text += part(request.header(name))
  return own === undefined ? text : [text, own]
}

/** The key of something that belongs to the response under a key. */
export function extendKey(key: Key, parts: readonly (string | null)[]): Key {
  const text = parts.map(part).join('')
  return typeof key === 'string' ? key + text : [...key, text]
}

const originHeaders = ['host', 'forwarded', ...['host', 'proto', 'port', 'prefix'].map((part) => `x-forwarded-${part}`)]

/** With its length in front, so that parts cannot run into each other. A text, as a tuple would cost more than the answer. */
function part(value: string | null | undefined): string {
  return value === null || value === undefined ? '~' : `|${value.length}:${value}`
}

/** The parameters by name, so that their order in the URL makes no difference, and those of one name in theirs. */
function listed(query: string, names: ReadonlySet<string> | 'all'): readonly (readonly [string, string])[] {
  if (query === '') return []
  const pairs = [...new URLSearchParams(query)].filter(([name]) => names === 'all' || names.has(name))
  return pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}
