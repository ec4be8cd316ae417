import type { StatsDocument } from '../monitor/types.ts'

/** The document of `GET /performance/stats` as it is sent: with keys in snake_case. */
export type PageDocument = SnakeCased<StatsDocument> & {
  /** The filter that selected the endpoints, and how many it selects in all. The document has only the first ones. */
  readonly selection?: { readonly filter: string; readonly count: number }
}
export type PageEndpoint = SnakeCased<StatsDocument>['endpoints'][number]
export type PageLatency = PageDocument['requests']['latency_ms']
export type PageAlert = PageDocument['alerts'][number]
export type PagePoint = NonNullable<PageDocument['history']>[number]

/** The value with its keys in snake_case, at any depth. Keys of the general type `string` are names, and stay. */
type SnakeCased<Value> = Value extends readonly unknown[]
  ? { [Index in keyof Value]: SnakeCased<Value[Index]> }
  : Value extends object
    ? { [Key in keyof Value as Key extends string ? SnakeCase<Key> : Key]: SnakeCased<Value[Key]> }
    : Value

/** `nPlusOne` to `n_plus_one`. */
type SnakeCase<Key extends string> = Key extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : Key
