import type { Casing } from '../../shared/casing.ts'
import type { Field, Fields, JsonSchema } from './field.ts'
import type { ParsedSortKey, SortSpecs, SortTerm } from './sort.ts'

export interface ListQueryOptions<Sort extends SortSpecs, Filter extends Fields, Wire extends Casing> {
  /**
   * The names that clients may sort by, and the column behind each. A column that may be NULL says where its NULLs stand:
   * `{ key: 'users.last_login', nulls: 'last' }`.
   *
   * @defaultValue no `sort` parameter
   */
  readonly sort?: Sort | undefined
  /** The order when the client does not ask for one. @defaultValue the query's own `orderBy()`, or else `unique` ascending */
  readonly defaultSort?: SortTerm<NoInfer<Sort>> | readonly SortTerm<NoInfer<Sort>>[] | undefined
  /** How many sort keys one request may name, at most. @defaultValue 3 */
  readonly maxSorts?: number | undefined
  /** The filters by the names of their parameters. @defaultValue no filters */
  readonly filter?: Filter | undefined
  readonly perPage?:
    | {
        /** Rows per page when the client does not say. @defaultValue 10 */
        readonly default?: number | undefined
        /** The largest `per_page`. @defaultValue 100 */
        readonly max?: number | undefined
      }
    | undefined
  /**
   * For a `page` or `per_page` out of range: `'reject'` it, or `'clamp'` it to the nearest possible number, as GitHub does.
   * Filters are never clamped: that would answer another question.
   *
   * @defaultValue 'reject'
   */
  readonly outOfRange?: 'reject' | 'clamp' | undefined
  /** For parameters that are not declared. @defaultValue 'ignore' */
  readonly unknown?: 'ignore' | 'reject' | undefined
  /**
   * Other names of the list's own parameters, such as those of JSON:API: `{ page: 'page[number]', perPage: 'page[size]' }`.
   * `linkHeader` takes them too.
   */
  readonly names?: ListQueryNames | undefined
  /** `'camel'` names the parameter `perPage`. Names of sorts and filters stay as declared. @defaultValue 'snake' */
  readonly casing?: Wire | undefined
}

/** The names of a list's own parameters in the query string. */
export interface ListQueryNames {
  readonly page?: string | undefined
  readonly perPage?: string | undefined
  readonly sort?: string | undefined
  readonly after?: string | undefined
  readonly before?: string | undefined
}

/** A parser of query strings, made by `listQuery`. Also a Standard Schema. */
export interface ListQuery<Sort extends SortSpecs, Filter extends Fields, Wire extends Casing> {
  /**
   * @param input - a query string, a URL or path with one, a `URL`, `URLSearchParams`, `Request`, or the plain object that a
   * framework made of the query (`request.query`)
   * @throws ListQueryError with all faults; TypeError for any other input
   */
  parse(input: unknown): ParsedListQuery<Sort, Filter>
  /** A JSON Schema that accepts the plain objects that `parse` accepts, and no others (drafts 7 to 2020-12). */
  jsonSchema(): JsonSchema
  /** Standard Schema, version 1 (https://standardschema.dev): the input is what `parse` takes. */
  readonly '~standard': {
    readonly version: 1
    readonly vendor: 'posthaste'
    validate(value: unknown): StandardResult<ParsedListQuery<Sort, Filter>>
    readonly types?: { readonly input: ListQueryInput<Filter, Wire>; readonly output: ParsedListQuery<Sort, Filter> }
  }
}

/** The client's request, ready to spread into `paginate` or `cursorPaginate`. */
export interface ParsedListQuery<Sort extends SortSpecs, Filter extends Fields> {
  /** 1 when the client does not ask for one. */
  readonly page: number
  readonly perPage: number
  /** The largest `perPage` that was accepted: `paginate` and `cursorPaginate` accept it too. */
  readonly maxPerPage: number
  readonly after: string | undefined
  readonly before: string | undefined
  /** The order as sort keys, whose columns are part of the type; empty when there is neither a `sort` nor a `defaultSort`. */
  readonly by: readonly ParsedSortKey<Sort>[]
  readonly filter: { readonly [Name in keyof Filter]: Filter[Name] extends Field<infer Output> ? Output : never }
  /**
   * The filters as text, the same text for equal filters; `undefined` when there are none. Spread into `cursorPaginate`, it
   * binds cursors to the filters that they were made with.
   */
  readonly scope: string | undefined
  /**
   * The whole query as a query string, with page, cursor and defaults: a cache key, because equal queries have the same
   * one. It parses to the same result.
   */
  readonly key: string
}

/** The query as a plain object, before parsing. */
export type ListQueryInput<Filter extends Fields, Wire extends Casing> = {
  readonly [Name in
    | 'page'
    | (Wire extends 'camel' ? 'perPage' : 'per_page')
    | 'sort'
    | 'after'
    | 'before'
    | (keyof Filter & string)]?: string | number | boolean | readonly string[] | null | undefined
}

/** The result type of Standard Schema. */
type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly PropertyKey[] | undefined }[] }
