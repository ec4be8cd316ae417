/** Describes a value for an error message: `` `0` (number) ``. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return `\`${value}\``
  const type = typeof value
  if (type === 'object') return Array.isArray(value) ? 'an array' : 'an object'
  if (type === 'function') return 'a function'
  const text = type === 'string' ? `'${String(value).slice(0, 40)}'` : String(value)
  return `\`${text}\` (${type})`
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
export function expectWholeNumber(value: unknown, option: string, { min = 0, max }: Range = {}): number {
  if (Number.isSafeInteger(value)) return expectRange(value as number, option, 'a whole number', { min, max })
  throw new TypeError(
    `Expected \`${option}\` to be ${within('a whole number', { min, max })}, got ${describeValue(value)}`,
  )
}

/**
 * Returns the value if it is a finite number within the range.
 *
 * @throws TypeError if it is not a finite number; RangeError if it is outside the range
 */
export function expectNumber(value: unknown, option: string, range: Range = {}): number {
  if (Number.isFinite(value)) return expectRange(value as number, option, 'a number', range)
  throw new TypeError(`Expected \`${option}\` to be ${within('a number', range)}, got ${describeValue(value)}`)
}

/**
 * Returns the value if it is one of the choices.
 *
 * @throws TypeError if it is not
 */
export function expectOneOf<const Choice>(value: unknown, option: string, choices: readonly Choice[]): Choice {
  if (choices.includes(value as Choice)) return value as Choice
  const list = choices.map((choice) => (typeof choice === 'string' ? `'${choice}'` : String(choice))).join(', ')
  throw new TypeError(`Expected \`${option}\` to be one of ${list}, got ${describeValue(value)}`)
}

function expectRange(value: number, option: string, kind: string, range: Range): number {
  if (value >= (range.min ?? -Infinity) && value <= (range.max ?? Infinity)) return value
  throw new RangeError(`Expected \`${option}\` to be ${within(kind, range)}, got ${describeValue(value)}`)
}

function within(kind: string, { min, max }: Range): string {
  if (min !== undefined && max !== undefined) return `${kind} from ${min} to ${max}`
  if (min !== undefined) return `${kind} from ${min} up`
  return max === undefined ? kind : `${kind} up to ${max}`
}
