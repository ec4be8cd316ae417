import { describe, expect, it } from 'vitest'
import { ago, bytes, decimal, nothing, number, percent, share, span, whole } from '../../src/dashboard/format.ts'

describe('numbers of the page', () => {
  it.each([
    [0, '0'],
    [0.0004, '<0.01'],
    [0.04, '0.04'],
    [7.2, '7.20'],
    [9.996, '10.0'],
    [41.88, '41.9'],
    [99.96, '100'],
    [1_903.1, '1,903'],
  ])('write the measurement %s as %s', (value, text) => {
    expect(decimal(value)).toBe(text)
  })

  it.each([
    [0, '0%'],
    [0.004, '<0.01%'],
    [0.49, '0.49%'],
    [41.23, '41.2%'],
    [99.96, '100%'],
    [180, '180%'],
  ])('write %s of a hundred as %s', (value, text) => {
    expect(percent(value)).toBe(text)
    expect(share(value / 100)).toBe(text)
  })

  it.each([
    [0, '0 B'],
    [1_023, '1,023 B'],
    [1_840_000, '1.75 MiB'],
    [2 ** 53, '8,192 TiB'],
  ])('write %s bytes as %s', (value, text) => {
    expect(bytes(value)).toBe(text)
  })

  it.each([
    [0, '0 s'],
    [59_400, '59 s'],
    [60_000, '1 min'],
    [5_321_400, '1 h 28 min'],
    [3_600_000, '1 h'],
    [90_061_000, '1 d 1 h'],
    [-5, '0 s'],
  ])('write %s ms as %s', (value, text) => {
    expect(span(value)).toBe(text)
  })

  it('tell what is missing from what is 0', () => {
    for (const format of [decimal, number, percent, share, whole]) expect(format(null)).toBe(nothing)
  })

  it('count back from the document, not from the reader’s clock', () => {
    expect(ago('2026-01-05T12:03:00.000Z', '2026-01-05T12:04:59.000Z')).toBe('1 min 59 s ago')
  })
})
