import { describeValue } from '../shared/assertions.ts'

/** A JSON Schema, as OpenAPI and validators take it. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** What {@link Field.read} answers to a value that the field does not take. */
export const fault: unique symbol = Symbol('fault')

/**
 * A kind of value that a query parameter may have. Made by `oneOf`, `manyOf`, `flag`, `int`, `text` and `date`.
 */
export interface Field<Output> {
  /** What it takes, as the end of "Expected `role` to be …". */
  readonly expected: string
  /** Accepts exactly what {@link Field.read} accepts. */
  readonly schema: JsonSchema
  /** The value when the parameter is not given. */
  missing(): Output
  /** The value of a text, or of what a framework made of it. */
  read(value: unknown): Output | typeof fault
  /** The one spelling of a value in a query string. */
  write(value: NonNullable<Output>): string
}

/** The fields of a list query by the names of their parameters. */
export type Fields = Readonly<Record<string, Field<unknown>>>

export interface FieldOptions<Value> {
  /** The value when the parameter is not given. @defaultValue `undefined` */
  readonly default?: Value | undefined
}

/** The value of a field with these options: never `undefined` when they state a default. */
export type WithDefault<Value, Options> = Options extends { readonly default: Value } ? Value : Value | undefined

/**
 * A field from its kind and its default. Defaults pass through the kind's own text, so they are checked by it, and each
 * parse gets a value of its own.
 *
 * @param isBlank - tells the values that count as not given
 */
export function makeField<Value extends NonNullable<unknown>>(
  kind: Omit<Field<Value>, 'missing'>,
  fallback: Value | undefined,
  isBlank: (value: unknown) => boolean = (value) => value === '',
): Field<Value | undefined> {
  if (fallback === undefined) {
    return { ...kind, missing: () => undefined, read: (value) => (isBlank(value) ? undefined : kind.read(value)) }
  }
  const text = kind.write(fallback)
  const missing = () => kind.read(text) as Value
  if ((missing() as unknown) === fault) {
    throw new TypeError(`Expected \`default\` to be ${kind.expected}, got ${describeValue(fallback)}`)
  }
  return {
    ...kind,
    schema: { ...kind.schema, default: JSON.parse(JSON.stringify(fallback)) },
    missing,
    read: (value) => (isBlank(value) ? missing() : kind.read(value)),
  }
}
