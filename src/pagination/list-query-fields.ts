import { readWholeNumber } from './fields.ts'
import { type Field, fault } from './fields-kind.ts'
import { rangePattern } from './fields-pattern.ts'

/** `page` and `per_page`. An empty value is a fault here: no form sends one. */
export function pageNumberField(options: { max: number; missing: number; clamp: boolean }): Field<number> {
  const { max, missing, clamp } = options
  const pattern = clamp ? '0|-?[1-9][0-9]*' : rangePattern(1, max)
  return {
    expected: `a whole number from 1 to ${max}`,
    schema: {
      type: ['integer', 'string'],
      pattern: `^(?:${pattern})$`,
      ...(clamp ? {} : { minimum: 1, maximum: max }),
    },
    missing: () => missing,
    read(value) {
      const number = readWholeNumber(value)
      if (clamp && !Number.isNaN(number)) return Math.min(max, Math.max(1, number))
      return number >= 1 && number <= max ? number : fault
    },
    write: String,
  }
}

/** `after` and `before`: whether the text is a cursor is for the pager to say. An empty one would start the list again. */
export const cursorField: Field<string | undefined> = {
  expected: 'a cursor',
  schema: { type: 'string', minLength: 1 },
  missing: () => undefined,
  read: (value) => (typeof value === 'string' && value !== '' ? value : fault),
  write: String,
}
