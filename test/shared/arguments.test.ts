import { describe, expect, it } from 'vitest'
import { describeValue, expectNumber, expectOneOf, expectWholeNumber } from '../../src/shared/arguments.ts'

describe('describeValue', () => {
  it.each<[unknown, string]>([
    [null, '`null`'],
    [undefined, '`undefined`'],
    [[1], 'an array'],
    [{ secret: 1 }, 'an object'],
    [() => 1, 'a function'],
    [5n, '`5` (bigint)'],
    [Symbol('x'), '`Symbol(x)` (symbol)'],
    ['x'.repeat(99), `\`'${'x'.repeat(40)}'\` (string)`],
  ])('shows %s as %s', (value, text) => {
    expect(describeValue(value)).toBe(text)
  })
})

describe('expectNumber', () => {
  it.each([0, 0.5, 1, -0])('takes %d, which is within the range', (value) => {
    expect(expectNumber(value, 'jitter', { min: 0, max: 1 })).toBe(value)
  })

  it('takes any number up to or from the bound that is given', () => {
    expect(expectNumber(-1e300, 'factor', { max: 1 })).toBe(-1e300)
    expect(expectNumber(1e300, 'factor', { min: 1 })).toBe(1e300)
    expect(expectNumber(-7.5, 'factor')).toBe(-7.5)
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, '1', null, undefined, 1n])('refuses %s, which is none', (value) => {
    expect(() => expectNumber(value, 'factor')).toThrow(
      new TypeError(`Expected \`factor\` to be a number, got ${describeValue(value)}`),
    )
  })

  it.each([
    [{ min: 1, max: 3 }, 'a number from 1 to 3'],
    [{ min: 1 }, 'a number from 1 up'],
    [{ max: -2 }, 'a number up to -2'],
  ])('says of %j what it expects', (range, expected) => {
    const error = new RangeError(`Expected \`factor\` to be ${expected}, got \`0\` (number)`)
    expect(() => expectNumber(0, 'factor', range)).toThrow(error)
  })
})

describe('expectWholeNumber', () => {
  it('expects one from 0 up, if nothing else is said', () => {
    expect(expectWholeNumber(0, 'retries')).toBe(0)
    expect(() => expectWholeNumber(-1, 'retries')).toThrow(
      new RangeError('Expected `retries` to be a whole number from 0 up, got `-1` (number)'),
    )
    expect(() => expectWholeNumber(0.5, 'retries', { max: 9 })).toThrow(
      new TypeError('Expected `retries` to be a whole number from 0 to 9, got `0.5` (number)'),
    )
  })
})

describe('expectOneOf', () => {
  it('lists the choices', () => {
    expect(expectOneOf(3, 'precision', [2, 3])).toBe(3)
    expect(() => expectOneOf('x', 'precision', ['off', 2])).toThrow(
      new TypeError("Expected `precision` to be one of 'off', 2, got `'x'` (string)"),
    )
  })
})
