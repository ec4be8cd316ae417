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
  return expectWithin(value, Number.isSafeInteger(value), option, 'a whole number', { min, max })
}

/**
 * Returns the value if it is a finite number within the range.
 *
 * @throws TypeError if it is not a finite number; RangeError if it is outside the range
 */
export function expectNumber(value: unknown, option: string, range: Range = {}): number {
  return expectWithin(value, Number.isFinite(value), option, 'a number', range)
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

function expectWithin(value: unknown, isOfKind: boolean, option: string, kind: string, { min, max }: Range): number {
  const number = value as number
  if (isOfKind && number >= (min ?? -Infinity) && number <= (max ?? Infinity)) return number
  const Fault = isOfKind ? RangeError : TypeError
  throw new Fault(`Expected \`${option}\` to be ${kind}${rangeText(min, max)}, got ${describeValue(value)}`)
}

function rangeText(min: number | undefined, max: number | undefined): string {
  if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`
  if (min !== undefined) return ` from ${min} up`
  return max === undefined ? '' : ` up to ${max}`
}
