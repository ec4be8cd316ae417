import { describeValue } from '../../shared/arguments.ts'

/** A JSON Schema, as OpenAPI and validators take it. */
export type JsonSchema = Readonly<Record<string, unknown>>

/** {@link Field.read} returns this for a value that the field does not accept. */
export const fault: unique symbol = Symbol('fault')

/** A kind of query parameter. Made by `oneOf`, `manyOf`, `flag`, `int`, `text` and `date`. */
export interface Field<Output> {
  /** The accepted values, as the end of "Expected `role` to be …". */
  readonly expected: string
  /** Accepts exactly what {@link Field.read} accepts. */
  readonly schema: JsonSchema
  /** The value when the parameter is not given. */
  missing(): Output
  /** Reads the parameter's text, or the value that a framework parsed from it. */
  read(value: unknown): Output | typeof fault
  /** Writes the value for a query string: equal values always as the same text. */
  write(value: NonNullable<Output>): string
}

/** The fields of a list query by the names of their parameters. */
export type Fields = Readonly<Record<string, Field<unknown>>>

export interface FieldOptions<Value> {
  /** The value when the parameter is not given. @defaultValue `undefined` */
  readonly default?: Value | undefined
}

/** The value of a field with these options. It is never `undefined` when there is a default. */
export type WithDefault<Value, Options> = Options extends { readonly default: Value } ? Value : Value | undefined

/**
 * Makes a field of a kind, with a default. The default is written as text and read back: this checks it, and gives each
 * parse a new value.
 *
 * @param isBlank - whether a value counts as not given
 */
export function makeField<Value extends NonNullable<unknown>>(
  kind: Omit<Field<Value>, 'missing'>,
  fallback: Value | undefined,
  isBlank: (value: unknown) => boolean = (value) => value === '',
  option = 'default',
): Field<Value | undefined> {
  if (fallback === undefined) {
    return { ...kind, missing: () => undefined, read: (value) => (isBlank(value) ? undefined : kind.read(value)) }
  }
  const text = textOf(fallback, kind)
  const missing = () => kind.read(text as string) as Value
  // An `int` reads `'5'` as 5, but as a default `'5'` is refused.
  if (text === undefined || (missing() as unknown) === fault || typeof missing() !== typeof fallback) {
    const given = Array.isArray(fallback) ? text : fallback
    throw new TypeError(`Expected \`${option}\` to be ${kind.expected}, got ${describeValue(given)}`)
  }
  return {
    ...kind,
    schema: { ...kind.schema, default: JSON.parse(JSON.stringify(fallback)) },
    missing,
    read: (value) => (isBlank(value) ? missing() : kind.read(value)),
  }
}

/** `undefined` if the kind cannot write the value, because it is of another type. */
function textOf<Value extends NonNullable<unknown>>(
  value: Value,
  kind: Omit<Field<Value>, 'missing'>,
): string | undefined {
  try {
    return kind.write(value)
  } catch {
    return undefined
  }
}
