import type { Casing } from '../shared/casing.ts'
import type { Field, Fields, JsonSchema } from './fields-kind.ts'
import type { ParsedSortKey, SortSpecs, SortTerm } from './list-query-sort.ts'

/** The rules of a list's query string. */
export interface ListQueryOptions<Sort extends SortSpecs, Filter extends Fields, Wire extends Casing> {
  /**
   * What clients may sort by, and nothing else: public names and the columns behind them. A column that may be NULL says
   * where its NULLs go: `{ key: 'users.last_login', nulls: 'last' }`.
   *
   * @defaultValue none: there is no `sort` parameter
   */
  readonly sort?: Sort | undefined
  /** The order when the client asks for none. @defaultValue the query's own `orderBy()`, or else `unique` ascending */
  readonly defaultSort?: SortTerm<NoInfer<Sort>> | readonly SortTerm<NoInfer<Sort>>[] | undefined
  /** How many sort keys one request may name, at most. @defaultValue 3 */
  readonly maxSorts?: number | undefined
  /** The filters by the names of their parameters. @defaultValue none */
  readonly filter?: Filter | undefined
  /** @defaultValue `{ default: 10, max: 100 }` */
  readonly perPage?: { readonly default?: number | undefined; readonly max?: number | undefined } | undefined
  /**
   * A whole number that is no possible `page` or `per_page`: `'reject'` it, or `'clamp'` it to the nearest that is, as GitHub
   * does. Filters are never clamped: that would answer another question.
   *
   * @defaultValue 'reject'
   */
  readonly outOfRange?: 'reject' | 'clamp' | undefined
  /** Parameters that are not declared. @defaultValue 'ignore' */
  readonly unknown?: 'ignore' | 'reject' | undefined
  /** `'camel'` names the parameter `perPage`. Names of sorts and filters stay as declared. @defaultValue 'snake' */
  readonly casing?: Wire | undefined
}

/** A parser of query strings, made by `listQuery`. Also a Standard Schema. */
export interface ListQuery<Sort extends SortSpecs, Filter extends Fields, Wire extends Casing> {
  /**
   * The parsed query.
   *
   * @param input - a query string, a URL or path with one, a `URL`, `URLSearchParams`, `Request`, or the plain object that a
   * framework made of the query (`request.query`)
   * @throws ListQueryError with all faults; TypeError when the input is none of these
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

/** What a client asked for, ready to spread into `paginate` or `cursorPaginate`. */
export interface ParsedListQuery<Sort extends SortSpecs, Filter extends Fields> {
  /** 1 when the client names none. */
  readonly page: number
  readonly perPage: number
  readonly after: string | undefined
  readonly before: string | undefined
  /** The order as sort keys whose columns are part of the type; empty when neither client nor declaration name one. */
  readonly by: readonly ParsedSortKey<Sort>[]
  readonly filter: { readonly [Name in keyof Filter]: Filter[Name] extends Field<infer Output> ? Output : never }
  /**
   * The filters in their one spelling, `undefined` when none applies. Spread into `cursorPaginate`, it binds cursors to the
   * filters they were made with.
   */
  readonly scope: string | undefined
  /**
   * The whole query in its one spelling, page and cursor included, defaults filled in: a cache key. A query string itself,
   * which parses to the same.
   */
  readonly key: string
}

/** The query as a plain object, before it is parsed. */
export type ListQueryInput<Filter extends Fields, Wire extends Casing> = {
  readonly [Name in
    | 'page'
    | (Wire extends 'camel' ? 'perPage' : 'per_page')
    | 'sort'
    | 'after'
    | 'before'
    | (keyof Filter & string)]?: string | number | boolean | readonly string[] | undefined
}

/** The outcome of a Standard Schema. */
type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string; readonly path?: readonly PropertyKey[] | undefined }[] }
