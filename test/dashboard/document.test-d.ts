import type { StatsDocument } from 'posthaste'
import type { PageDocument } from '../../src/dashboard/document.ts'

/** `nPlusOne` to `n_plus_one`. */
type Snake<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${Snake<Rest>}`
  : Name

/** A document of the monitor as the routes write it. */
type Wire<Value> = Value extends readonly unknown[]
  ? { [Index in keyof Value]: Wire<Value[Index]> }
  : Value extends object
    ? { [Name in keyof Value as Name extends string ? Snake<Name> : Name]: Wire<Value[Name]> }
    : Value

declare const written: Wire<StatsDocument>

export const page: PageDocument = written

// @ts-expect-error -- the page reads the wire form, not the monitor's own
export const camel: PageDocument = {} as StatsDocument
