import { describe, expect, it } from 'vitest'
import { parseDuration } from '../../../src/shared/time/duration.ts'

describe('parseDuration', () => {
  it.each([
    ['250ms', 250],
    ['0s', 0],
    ['1.5s', 1_500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
  ])('reads %s as %i milliseconds', (text, ms) => {
    expect(parseDuration(text, 'ttl')).toBe(ms)
  })

  it.each([300, '300', '5 m', '-1s', '1e3s', 'NaNs', '5min', `${'9'.repeat(20)}d`, '', undefined, null, {}])(
    'refuses %j and names the option',
    (value) => {
      expect(() => parseDuration(value, 'ttl')).toThrow(/^Expected `ttl` to be a duration like '250ms' or '5m', got /)
    },
  )
})
