/**
 * The parameters of whatever a framework hands over, each with its text, or with a list of texts when it is repeated.
 * Frameworks that parse the query themselves may hold anything: their values come back as they are, for the fields to judge.
 *
 * @param input - a query string (with or without `?`), a URL or path with one, `URL`, `URLSearchParams`, `Request`, or the
 * plain object that a framework made of it
 * @returns `undefined` when the input is none of these
 */
export function readParams(input: unknown): ReadonlyMap<string, unknown> | undefined {
  if (typeof input === 'string') return group(new URLSearchParams(queryOf(input)))
  if (input instanceof URLSearchParams) return group(input)
  if (input instanceof URL) return group(input.searchParams)
  if (isRequest(input)) return group(new URLSearchParams(queryOf(input.url)))
  return isPlainObject(input) ? new Map(Object.entries(input)) : undefined
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
  const address = text.slice(0, (text.indexOf('#') + 1 || text.length + 1) - 1)
  const start = address.indexOf('?')
  return start === -1 ? '' : address.slice(start + 1)
}

/** By shape, because a `Request` may come from another realm or from a package. */
function isRequest(input: unknown): input is { readonly url: string } {
  const request = input as { url?: unknown; headers?: { get?: unknown } } | null | undefined
  return typeof request?.url === 'string' && typeof request.headers?.get === 'function'
}

/** Not a class instance. Fastify's and Node's parsers make objects whose prototype is empty or absent. */
function isPlainObject(input: unknown): input is object {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return false
  const prototype: unknown = Object.getPrototypeOf(input)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
