/**
 * The kind of an option. `'own'`: the code that reads the option checks it. `'nullable'`: that code also handles `null`.
 * A group of options has a kind for each. An option that is `undefined` counts as absent.
 */
type Kind = 'function' | 'boolean' | 'text' | 'texts' | 'signal' | 'object' | 'own' | 'nullable'

/** The kind of every option of a type. The compiler refuses kinds if one is missing or one is too many. */
export type OptionKinds<Options> = { readonly [Name in keyof Required<Options>]: Kind | Readonly<Record<string, Kind>> }

/**
 * Checks options: each must be known and of its kind. The message for an unknown option has the nearest name.
 *
 * @param at - the option that these options belong to, if they are a group
 * @throws TypeError that names the first wrong option
 */
export function expectOptions(options: unknown, kinds: Readonly<Record<string, unknown>>, at?: string): void {
  const name = at ?? 'options'
  expectObject(options, name)
  if (typeof options === 'function') {
    throw new TypeError(`Expected \`${name}\` to be an object, got a function`)
  }
  for (const key of Object.keys(options as object)) {
    const value = (options as Record<string, unknown>)[key]
    if (value === undefined) continue
    if (!Object.hasOwn(kinds, key)) {
      const nearest = nearestOf(key, Object.keys(kinds))
      throw new TypeError(`There is no option \`${key}\` in \`${name}\`; did you mean \`${nearest}\`?`)
    }
    expectKind(value, kinds[key] as Kind | Record<string, Kind>, at === undefined ? key : `${at}.${key}`)
  }
}

function expectKind(value: unknown, kind: Kind | Record<string, Kind>, name: string): void {
  if (kind === 'nullable') return
  if (typeof kind === 'object') expectOptions(value, kind, name)
  else if (kind !== 'own') checks[kind](value, name)
  // Otherwise `??` would take `null` for absent, and a comparison would take it for 0.
  else if (value === null) throw wrongKind(name, 'a value, or undefined', value)
}

const checks: Readonly<Record<Exclude<Kind, 'own' | 'nullable'>, (value: unknown, name: string) => void>> = {
  function: expectFunction,
  text: expectText,
  signal: expectSignal,
  object: (value, name) => expectObject(value, name),
  boolean: (value, name) => expectOneOf(value, name, [true, false]),
  texts(value, name) {
    if (!Array.isArray(value)) throw wrongKind(name, 'a list of strings', value)
    for (const [index, text] of value.entries()) expectText(text, `${name}[${index}]`)
  },
}

/** @throws TypeError if the value is not a function */
export function expectFunction(value: unknown, name: string): void {
  if (typeof value !== 'function') throw wrongKind(name, 'a function', value)
}

/**
 * Checks an object and the methods that will be called.
 *
 * @param what - what the object is, for the message
 * @throws TypeError if the value is not an object, or lacks one of the methods
 */
export function expectObject(value: unknown, name: string, methods: readonly string[] = [], what?: string): void {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null || Array.isArray(value)) {
    throw wrongKind(name, what ?? 'an object', value)
  }
  for (const method of methods) {
    const called = (value as Record<string, unknown>)[method]
    if (what === undefined) expectFunction(called, `${name}.${method}`)
    else if (typeof called !== 'function') {
      throw new TypeError(`Expected \`${name}\` to be ${what}, got an object without the method \`${method}\``)
    }
  }
}

/** @throws TypeError if the value is not a string */
export function expectString(value: unknown, name: string): void {
  if (typeof value !== 'string') throw wrongKind(name, 'a string', value)
}

/** @throws TypeError if the value is not a string, or is empty */
export function expectText(value: unknown, name: string): void {
  if (typeof value !== 'string' || value === '') throw wrongKind(name, 'a string that is not empty', value)
}

/** @throws TypeError if the value is not an abort signal */
function expectSignal(value: unknown, name: string): void {
  const isSignal = typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value
  if (!isSignal) throw wrongKind(name, 'an AbortSignal', value)
}

interface Range {
  readonly min?: number | undefined
  readonly max?: number | undefined
}

/**
 * Returns the value if it is a whole number within the range.
 *
 * @throws TypeError if it is not a whole number; RangeError if it is outside the range
 */
export function expectWholeNumber(value: unknown, name: string, { min = 0, max }: Range = {}): number {
  return expectWithin(value, Number.isSafeInteger(value), name, 'a whole number', { min, max })
}

/**
 * Returns the value if it is a finite number within the range.
 *
 * @throws TypeError if it is not a finite number; RangeError if it is outside the range
 */
export function expectNumber(value: unknown, name: string, range: Range = {}): number {
  return expectWithin(value, Number.isFinite(value), name, 'a number', range)
}

/**
 * Returns the value if it is one of the choices.
 *
 * @throws TypeError if it is not
 */
export function expectOneOf<const Choice>(value: unknown, name: string, choices: readonly Choice[]): Choice {
  if (choices.includes(value as Choice)) return value as Choice
  const list = choices.map((choice) => (typeof choice === 'string' ? `'${choice}'` : String(choice))).join(', ')
  throw wrongKind(name, `one of ${list}`, value)
}

function expectWithin(value: unknown, isOfKind: boolean, name: string, kind: string, { min, max }: Range): number {
  const number = value as number
  if (isOfKind && number >= (min ?? -Infinity) && number <= (max ?? Infinity)) return number
  const Fault = isOfKind ? RangeError : TypeError
  throw new Fault(`Expected \`${name}\` to be ${kind}${rangeText(min, max)}, got ${describeValue(value)}`)
}

function rangeText(min: number | undefined, max: number | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` from ${min} up`
  return max === undefined ? '' : ` up to ${max}`
}

function wrongKind(name: string, expected: string, value: unknown): TypeError {
  return new TypeError(`Expected \`${name}\` to be ${expected}, got ${describeValue(value)}`)
}

/** Describes a value for an error message: `` `0` (number) ``. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return `\`${value}\``
  const type = typeof value
  if (type === 'object') return Array.isArray(value) ? 'an array' : 'an object'
  if (type === 'function') return 'a function'
  const text = type === 'string' ? `'${String(value).slice(0, 40)}'` : String(value)
  return `\`${text}\` (${type})`
}

/** The name that is spelled most like a word. */
function nearestOf(word: string, names: readonly string[]): string {
  return names.toSorted((a, b) => distance(a, word) - distance(b, word))[0] ?? ''
}

/** How many letters must be added, removed or replaced to turn one word into the other. Case is ignored. */
function distance(word: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...word.toLowerCase()].entries()) {
    const next = [index + 1]
    for (let column = 1; column <= other.length; column++) {
      const isSame = letter === other[column - 1]?.toLowerCase()
      next.push(
        Math.min(
          (next.at(-1) as number) + 1,
          (row[column] as number) + 1,
          (row[column - 1] as number) + (isSame ? 0 : 1),
        ),
      )
    }
    row = next
  }
  return row[other.length] as number
}
