import { isPlainObject } from '../../shared/plain-object.ts'

/**
 * Reads the parameters of a request: the text of each, or a list of texts if it is repeated. From a framework that parses
 * the query itself, the values may be of any type; the fields check them.
 *
 * @param input - a query string (with or without `?`), a URL or path with one, `URL`, `URLSearchParams`, `Request`, or
 *   the plain object that a framework made of the query
 * @param declared - the names of parameters; those with brackets (`filter[role]`) are also found in objects that a parser
 *   made of them
 * @returns `undefined` for any other input
 */
export function readParams(input: unknown, declared: Iterable<string>): ReadonlyMap<string, unknown> | undefined {
  if (typeof input === 'string') return group(new URLSearchParams(queryOf(input)))
  if (input instanceof URLSearchParams) return group(input)
  if (input instanceof URL) return group(input.searchParams)
  if (isRequest(input)) return group(new URLSearchParams(queryOf(input.url)))
  if (!isPlainObject(input)) return undefined
  const names = new Set(declared)
  const bracketed = [...names].filter((name) => name.includes('['))
  const nested = new Set(bracketed.map((name) => name.slice(0, name.indexOf('['))))
  for (const name of names) nested.delete(name)
  const params = new Map<string, unknown>()
  for (const [name, value] of Object.entries(input)) {
    if (nested.has(name)) flatten(name, value, params, 0)
    // Keep a value that the client sent: a validator may have added the default under the full name.
    else if (!params.has(name)) params.set(name, value)
  }
  for (const name of bracketed) {
    // Some parsers make a list under the name `ids` of `ids[]=7&ids[]=8`.
    const stem = name.endsWith('[]') ? name.slice(0, -2) : ''
    if (names.has(stem) || params.has(name) || !Array.isArray(params.get(stem))) continue
    params.set(name, params.get(stem))
    params.delete(stem)
  }
  return params
}

/** Names the members of an object as a query string spells them: `filter[role]`. */
function flatten(name: string, value: unknown, params: Map<string, unknown>, depth: number): void {
  // `filter=x&filter[role]=admin` is `['x', { role: 'admin' }]` to some parsers.
  if (Array.isArray(value) && value.some(isPlainObject) && !value.every(isPlainObject) && depth < 5) {
    for (const part of value) flatten(name, part, params, depth + 1)
    return
  }
  if (!isPlainObject(value) || depth === 5) {
    params.set(name, value)
    return
  }
  for (const [member, inner] of Object.entries(value)) flatten(`${name}[${member}]`, inner, params, depth + 1)
}

function group(params: URLSearchParams): Map<string, string | string[]> {
  const grouped = new Map<string, string | string[]>()
  for (const [name, text] of params) {
    const before = grouped.get(name)
    if (before === undefined) grouped.set(name, text)
    else if (typeof before === 'string') grouped.set(name, [before, text])
    else before.push(text)
  }
  return grouped
}

/** The query of a URL or path; any other text is a query already. */
function queryOf(text: string): string {
  if (!/^(?:https?:\/\/|\/)/i.test(text)) return text
  const [address = ''] = text.split('#', 1)
  const start = address.indexOf('?')
  return start === -1 ? '' : address.slice(start + 1)
}

/** `instanceof` does not work: a `Request` may come from another realm or a package. */
function isRequest(input: unknown): input is { readonly url: string } {
  const request = input as { url?: unknown; headers?: { get?: unknown } } | null | undefined
  return typeof request?.url === 'string' && typeof request.headers?.get === 'function'
}
