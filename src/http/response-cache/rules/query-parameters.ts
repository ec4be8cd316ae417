/**
 * Whether all parsers agree on where the parameters of a query string begin and end. The key holds the bytes of the query
 * string, so two requests share an entry only if they have the same parameters in the same or a harmless order. But if one
 * parser reads a name as listed and another does not, an unlisted parameter gets through.
 */
export function isReadableQuery(query: string): boolean {
  // `URLSearchParams` strips a question mark at the beginning, the frameworks do not.
  if (query.startsWith('?')) return false
  // Some parsers end the query at a `#`, or trim characters that are spaces in Latin-1. Then the order of the parameters
  // matters.
  if (!/^[!-"$-~]*$/.test(query)) return false
  if (query.length > maxParameters && query.split('&').length > maxParameters) return false
  return isDecodable(query)
}

/** Escapes that are not UTF-8 are errors in one framework and U+FFFD in another. */
export function isDecodable(text: string): boolean {
  if (!text.includes('%')) return true
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** `qs` and Node's `querystring` leave out the parameters after these. */
const maxParameters = 1_000

/** Whether the query string has a parameter that is not listed, or one that a parser could nest or split. */
export function unlistedParameter(query: string, listed: ReadonlySet<string> | 'all'): boolean {
  for (const parameter of query.split('&')) {
    const name = nameOf(parameter)
    if (listed === 'all' ? !isFlat(name) : !listed.has(name)) return true
    // Some parsers take a semicolon for the end of a parameter.
    if (parameter.includes(';')) return true
  }
  return false
}

/**
 * Whether a parser could find a listed parameter in one that is not listed, as `page` in `page[]=5`. With a user's key, only the
 * listed parameters are part of our key.
 */
export function hidesListedParameter(query: string, listed: ReadonlySet<string> | 'all'): boolean {
  if (listed !== 'all' && listed.size === 0) return false
  if (query.includes(';')) return true
  if (listed === 'all') return false
  return query.split('&').some((parameter) => {
    const name = nameOf(parameter)
    return !listed.has(name) && [...listed].some((other) => rootOf(other) === rootOf(name))
  })
}

/** The part of a name that nesting parsers take for the parameter: `page` of `page[size]`, `page.size` and `[page]`. */
function rootOf(name: string): string {
  return /[\p{L}\p{N}_~-]+/u.exec(name)?.[0] ?? ''
}

/** The name as a parser reads it; `qs` reads brackets before it decodes, and after. */
function nameOf(parameter: string): string {
  const name = rawName(parameter)
  return name.includes('%') ? decodeURIComponent(name) : name
}

/** `a[b]=1` and `a.b=1` are nested by some parsers. */
function isFlat(name: string): boolean {
  return /^[\w~-]+$/.test(name)
}

/**
 * The bytes of a query string for the key. Sorted by name if no parser can find more in the names than they say, so that the
 * order in the URL makes no difference; parameters of one name keep their order.
 */
export function canonicalQuery(query: string): string {
  if (!query.includes('&')) return query
  const parameters = query.split('&').map((text) => ({ text, name: rawName(text) }))
  if (!parameters.every(({ name }) => isFlat(name))) return query
  return parameters
    .sort(({ name: a }, { name: b }) => (a < b ? -1 : a > b ? 1 : 0))
    .map(({ text }) => text)
    .join('&')
}

export function rawName(parameter: string): string {
  const end = parameter.indexOf('=')
  return end === -1 ? parameter : parameter.slice(0, end)
}
