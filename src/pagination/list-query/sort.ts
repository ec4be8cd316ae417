import type { Expression } from 'kysely'
import type { NullsPlacement, SortDirection } from '../types.ts'
import { type Field, fault, makeField } from './field.ts'
import { escapePattern } from './patterns.ts'

/** A column, a key that says where its NULLs stand, or an expression. `'never'` promises that it is never NULL. */
export type SortSpec =
  | string
  | { readonly key: string; readonly nulls?: NullsPlacement | undefined }
  | { readonly expr: Expression<unknown>; readonly nulls: NullsPlacement | 'never' }

/** The names that clients may sort by, and the column behind each. */
export type SortSpecs = Readonly<Record<string, SortSpec>>

/** A sort key that a client can ask for, in the form of the option `by`. Its column is part of the type. */
export type ParsedSortKey<Sort> = {
  [Name in keyof Sort]: Sort[Name] extends string
    ? { readonly key: Sort[Name]; readonly dir: SortDirection }
    : Sort[Name] & { readonly dir: SortDirection }
}[keyof Sort]

/** A name to sort by, with a `-` before it for descending order. */
export type SortTerm<Sort> = `${'-' | ''}${keyof Sort & string}`

/** The field of `sort`. Its value is the list of terms: `-created_at,name` becomes `['-created_at', 'name']`. */
export function sortField(
  names: readonly string[],
  maxSorts: number,
  fallback: string | readonly string[] | undefined,
): Field<readonly string[] | undefined> {
  const term = `-?(?:${names.map(escapePattern).join('|')})`
  const some = `${term}(?:,${term}){0,${maxSorts - 1}}`
  // Finds repeated terms. The first part of the pattern bounds the number of terms, so that no text makes this part slow.
  const noneTwice = '(?!(?:.*,)?-?([^,]+),(?:.*,)?-?\\1(?:,|$))'
  const pattern = `^(?=(?:${some})?$)${noneTwice}`
  const allowed = new RegExp(pattern, 'u')
  const schema = {
    type: ['string', 'array'],
    pattern,
    // One text may have commas here too: Fastify's validator wraps it in a list.
    items: { type: 'string', pattern },
    minItems: 1,
    maxItems: maxSorts,
    uniqueItems: true,
    not: { anyOf: [...names.map(inBothDirections), severalNotSingle] },
  }
  const field = makeField<readonly string[]>(
    {
      expected: `${maxSorts === 1 ? 'one' : `up to ${maxSorts}`} of ${names.join(', ')}, each once, with \`-\` before it for descending`,
      schema,
      read(value) {
        const isList = Array.isArray(value) && value.every((one) => typeof one === 'string')
        if (isList && value.length > 1 && value.some((one) => one.includes(','))) return fault
        const text = isList ? value.join(',') : value
        return typeof text === 'string' && text !== '' && allowed.test(text) ? text.split(',') : fault
      },
      write: (terms) => terms.join(','),
    },
    typeof fallback === 'string' ? [fallback] : fallback,
    isBlank,
    'defaultSort',
  )
  // The schema does not name the default: validators that fill it in, such as Fastify's, would add it beside a client's
  // `sort[]`.
  return { ...field, schema }
}

/** A list is split by commas or by the client, not by both: a schema could not count the terms of both. */
const severalNotSingle = { type: 'array', minItems: 2, contains: { type: 'string', pattern: '^$|,' } }

/** A list of one empty text counts too: Fastify's validator makes it of `sort=`. */
function isBlank(value: unknown): boolean {
  return (Array.isArray(value) && value.length === 1 ? value[0] : value) === ''
}

/** A list that names a key twice, ascending and descending. */
function inBothDirections(name: string): object {
  return {
    type: 'array',
    allOf: [
      { type: 'array', contains: { const: name } },
      { type: 'array', contains: { const: `-${name}` } },
    ],
  }
}

export function toSortKey(specs: SortSpecs, term: string): object {
  const dir = term.startsWith('-') ? 'desc' : 'asc'
  const spec = specs[dir === 'desc' ? term.slice(1) : term]
  return typeof spec === 'string' ? { key: spec, dir } : { ...spec, dir }
}
