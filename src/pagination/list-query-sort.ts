import type { Expression } from 'kysely'
import { type Field, fault, makeField } from './fields-kind.ts'
import { escapePattern } from './fields-pattern.ts'
import type { NullsPlacement, SortDirection } from './types.ts'

/** A column; or a key that says where its NULLs go; or an expression, which `'never'` promises to be free of NULLs. */
export type SortSpec =
  | string
  | { readonly key: string; readonly nulls?: NullsPlacement | undefined }
  | { readonly expr: Expression<unknown>; readonly nulls: NullsPlacement | 'never' }

/** What clients may sort by: public names, and the columns behind them. */
export type SortSpecs = Readonly<Record<string, SortSpec>>

/** The sort keys that a query can ask for, as `paginate` takes them in `by`: their columns are part of the type. */
export type ParsedSortKey<Sort> = {
  [Name in keyof Sort]: Sort[Name] extends string
    ? { readonly key: Sort[Name]; readonly dir: SortDirection }
    : Sort[Name] & { readonly dir: SortDirection }
}[keyof Sort]

/** A public name, with a `-` before it for descending order. */
export type SortTerm<Sort> = `${'-' | ''}${keyof Sort & string}`

/** The field of the `sort` parameter: `-created_at,name`. Its value lists the terms. */
export function sortField(
  names: readonly string[],
  maxSorts: number,
  fallback: string | readonly string[] | undefined,
): Field<readonly string[] | undefined> {
  const term = `-?(?:${names.map(escapePattern).join('|')})`
  const some = `${term}(?:,${term}){0,${maxSorts - 1}}`
  // The length is checked before the doubles are looked for, so that no text makes the second part slow.
  const pattern = `^(?=(?:${some})?$)(?!(?:.*,)?-?([^,]+),(?:.*,)?-?\\1(?:,|$))`
  const allowed = new RegExp(pattern, 'u')
  return makeField<readonly string[]>(
    {
      expected: `${maxSorts === 1 ? 'one' : `up to ${maxSorts}`} of ${names.join(', ')}, each once, with \`-\` before it for descending`,
      schema: { type: 'string', pattern },
      read: (value) => (typeof value === 'string' && value !== '' && allowed.test(value) ? value.split(',') : fault),
      write: (terms) => terms.join(','),
    },
    typeof fallback === 'string' ? [fallback] : fallback,
  )
}

/** The sort key of a term. */
export function toSortKey(specs: SortSpecs, term: string): object {
  const dir = term.startsWith('-') ? 'desc' : 'asc'
  const spec = specs[dir === 'desc' ? term.slice(1) : term]
  return typeof spec === 'string' ? { key: spec, dir } : { ...spec, dir }
}
