import { expectOptions, expectWholeNumber, type OptionKinds } from '../../shared/arguments.ts'
import { type Field, type FieldOptions, fault, makeField, type WithDefault } from './field.ts'
import { datePattern, escapePattern, rangePattern } from './patterns.ts'

/**
 * One of the choices, spelled exactly. An empty value counts as not given.
 *
 * @throws TypeError when there is no choice, one is empty, or the default is not among them
 *
 * @example
 * ```ts
 * oneOf('admin', 'manager', 'user')
 * oneOf('open', 'closed', { default: 'open' })
 * ```
 */
export function oneOf<const Choices extends readonly string[]>(
  ...args: readonly [...choices: Choices, options: { readonly default: NoInfer<Choices[number]> }]
): Field<Choices[number]>
export function oneOf<const Choices extends readonly string[]>(...choices: Choices): Field<Choices[number] | undefined>
export function oneOf(...args: readonly unknown[]): Field<string | undefined> {
  const { choices, fallback } = splitChoices<string>(args)
  return makeField<string>(
    {
      expected: `one of ${quote(choices)}`,
      schema: { type: 'string', enum: [...choices, ''] },
      read: (value) => choices.find((choice) => choice === value) ?? fault,
      write: String,
    },
    fallback,
  )
}

/**
 * Any of the choices, as `a,b` or repeated (`tags=a&tags=b`). The value lists each choice once, in the order in which they
 * are declared here. An empty value or list counts as not given.
 *
 * @throws TypeError when there is no choice, one is empty or has a comma, or the default is not among them
 *
 * @example
 * ```ts
 * manyOf('news', 'sport', 'travel')
 * manyOf('news', 'sport', { default: ['news'] })
 * ```
 */
export function manyOf<const Choices extends readonly string[]>(
  ...args: readonly [...choices: Choices, options: { readonly default: readonly NoInfer<Choices[number]>[] }]
): Field<readonly Choices[number][]>
export function manyOf<const Choices extends readonly string[]>(
  ...choices: Choices
): Field<readonly Choices[number][] | undefined>
export function manyOf(...args: readonly unknown[]): Field<readonly string[] | undefined> {
  const { choices, fallback } = splitChoices<readonly string[]>(args)
  const unfit = choices.find((choice) => choice.includes(','))
  if (unfit !== undefined) throw new TypeError(`Expected choices without a comma, got '${unfit}'`)
  const choice = `(?:${choices.map(escapePattern).join('|')})`
  const pattern = `^(?:${choice}(?:,${choice})*)?$`
  return makeField<readonly string[]>(
    {
      expected: `some of ${quote(choices)}, split by commas`,
      schema: { type: ['string', 'array'], pattern, items: { type: 'string', pattern } },
      read(value) {
        const texts: readonly unknown[] = Array.isArray(value) ? value : [value]
        if (!texts.every((text) => typeof text === 'string')) return fault
        const named = new Set(texts.flatMap((text) => (text === '' ? [] : text.split(','))))
        const chosen = choices.filter((name) => named.delete(name))
        return named.size === 0 ? chosen : fault
      },
      write: (value) => value.join(','),
    },
    fallback,
    (value) => [value].flat().every((text) => text === ''),
  )
}

/**
 * `true` or `false`, also written `1` or `0`. An empty value (`?active` alone) is a fault, because some read it as true and
 * others as not given.
 *
 * @throws TypeError when the default is neither
 */
export function flag<const Options extends FieldOptions<boolean> = object>(
  options?: Options,
): Field<WithDefault<boolean, Options>>
export function flag(options: FieldOptions<boolean> = {}): Field<boolean | undefined> {
  expectOptions(options, fieldOptions)
  const spellings = new Map<unknown, boolean>([
    ['true', true],
    ['false', false],
    ['1', true],
    ['0', false],
    [true, true],
    [false, false],
  ])
  return makeField<boolean>(
    {
      expected: 'true or false',
      schema: { enum: [...spellings.keys()] },
      read: (value) => spellings.get(value) ?? fault,
      write: String,
    },
    options.default,
    () => false,
  )
}

export interface IntOptions extends FieldOptions<number> {
  /** @defaultValue -2147483648, the smallest value of a 4-byte database column */
  readonly min?: number | undefined
  /** @defaultValue 2147483647, the largest value of a 4-byte database column: PostgreSQL fails to compare it with more */
  readonly max?: number | undefined
}

/**
 * A whole number in plain digits: no `1e3`, `0x10`, `1.0`, `+1`, `007`, no digits of other scripts. An empty value counts as
 * not given.
 *
 * @throws TypeError or RangeError when a bound is not a safe integer, or the default is out of range
 *
 * @example
 * ```ts
 * int({ min: 1 })
 * ```
 */
export function int<const Options extends IntOptions = object>(options?: Options): Field<WithDefault<number, Options>>
export function int(options: IntOptions = {}): Field<number | undefined> {
  expectOptions(options, intOptions)
  const min = expectWholeNumber(options.min ?? -2_147_483_648, 'min', { min: Number.MIN_SAFE_INTEGER })
  const max = expectWholeNumber(options.max ?? Math.max(2_147_483_647, min), 'max', { min })
  return makeField<number>(
    {
      expected: `a whole number from ${min} to ${max}`,
      schema: { type: ['integer', 'string'], minimum: min, maximum: max, pattern: `^(?:${rangePattern(min, max)})?$` },
      read(value) {
        const number = readWholeNumber(value)
        return number >= min && number <= max ? number : fault
      },
      write: String,
    },
    options.default,
  )
}

/** The whole number that the value is, or spells in plain digits; else `NaN`. */
export function readWholeNumber(value: unknown): number {
  if (typeof value === 'string') return /^(?:0|-?[1-9]\d*)$/.test(value) ? Number(value) : Number.NaN
  return Number.isInteger(value) ? (value as number) + 0 : Number.NaN
}

export interface TextOptions extends FieldOptions<string> {
  /** The longest text, in characters. @defaultValue 200 */
  readonly max?: number | undefined
}

/**
 * Any text up to a length. It is not trimmed. U+0000 is a fault, because PostgreSQL fails on it. An empty value counts
 * as not given. Give the text to the database as a parameter only, and escape `%` and `_` for a `like`.
 *
 * @throws TypeError or RangeError when `max` is not a whole number from 1 up, or the default does not fit
 */
export function text<const Options extends TextOptions = object>(options?: Options): Field<WithDefault<string, Options>>
export function text(options: TextOptions = {}): Field<string | undefined> {
  expectOptions(options, textOptions)
  const max = expectWholeNumber(options.max ?? 200, 'max', { min: 1, max: 1_000_000 })
  // Characters are code points, as in JSON Schema.
  const allowed = new RegExp(`^[^\\u0000]{1,${max}}$`, 'u')
  return makeField<string>(
    {
      expected: `a text of at most ${max} characters`,
      schema: { type: 'string', maxLength: max, pattern: '^[^\\u0000]*$' },
      read: (value) => (typeof value === 'string' && allowed.test(value) ? value : fault),
      write: String,
    },
    options.default,
  )
}

/**
 * An instant in ISO 8601, in the profile of RFC 3339: `2024-01-31`, which is midnight UTC, or `2024-01-31T09:30:00Z` with `Z`
 * or an offset; a URL needs `%2B` for the `+` of an offset. A time without either is a fault, because its meaning would
 * depend on the server's time zone. It is cut to milliseconds, like any `Date`. An empty value counts as not given.
 *
 * @throws TypeError when the default is not a valid date of the years 1 to 9999
 */
export function date<const Options extends FieldOptions<Date> = object>(
  options?: Options,
): Field<WithDefault<Date, Options>>
export function date(options: FieldOptions<Date> = {}): Field<Date | undefined> {
  expectOptions(options, fieldOptions)
  return makeField<Date>(
    {
      expected: 'a date like 2024-01-31 or 2024-01-31T09:30:00Z',
      schema: { type: 'string', pattern: `^$|${datePattern.source}` },
      read: (value) => (typeof value === 'string' && datePattern.test(value) ? new Date(value) : fault),
      write: (value) => value.toISOString(),
    },
    options.default,
  )
}

const fieldOptions: OptionKinds<FieldOptions<unknown>> = { default: 'own' }
const intOptions: OptionKinds<IntOptions> = { default: 'own', min: 'own', max: 'own' }
const textOptions: OptionKinds<TextOptions> = { default: 'own', max: 'own' }

function splitChoices<Value>(args: readonly unknown[]): { choices: readonly string[]; fallback: Value | undefined } {
  const last = args.at(-1)
  const options = typeof last === 'object' && last !== null ? (last as FieldOptions<Value>) : undefined
  if (options !== undefined) expectOptions(options, fieldOptions)
  const choices = options === undefined ? args : args.slice(0, -1)
  if (choices.length === 0 || !choices.every(isChoice)) {
    throw new TypeError('Expected the choices to be one or more strings that are not empty')
  }
  return { choices: [...new Set(choices)], fallback: options?.default }
}

function isChoice(choice: unknown): choice is string {
  return typeof choice === 'string' && choice !== ''
}

function quote(choices: readonly string[]): string {
  return choices.map((choice) => `'${choice}'`).join(', ')
}
