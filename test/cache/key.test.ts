import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeKey } from '../../src/cache/key.ts'

const part = fc.letrec((tie) => ({
  part: fc.oneof(
    { maxDepth: 3 },
    fc.string(),
    fc.double(),
    fc.bigInt(),
    fc.boolean(),
    fc.constantFrom(null, undefined, -0, Number.NaN),
    fc.date().map((date) => new Date(date)),
    fc.uint8Array(),
    fc.array(tie('part')),
    fc.dictionary(fc.string(), tie('part')),
  ),
})).part

describe('a key', () => {
  it('is encoded without loss: two encodings are the same only if the keys are', () => {
    fc.assert(
      fc.property(fc.array(part), fc.array(part), (a, b) => {
        expect(encodeKey(a) === encodeKey(b)).toBe(isDeepStrictEqual(a, b))
      }),
      { numRuns: Number(process.env.PROPERTY_RUNS ?? 500) },
    )
  })

  it.each([
    [
      ['a', 1],
      ['a', '1'],
    ],
    [['a'], 'a'],
    [['a', 'b'], ['a,b']],
    [[['a'], 'b'], [['a', 'b']]],
    [[undefined], [null]],
    [[{ a: undefined }], [{}]],
    [['undefined'], [undefined]],
    [[1n], [1]],
    ['["a"]', ['a']],
    ['"a"', 'a'],
    ['#a', 'a'],
    [[new Date(0)], ['D0']],
    [['\ud800'], ['\ud801']],
  ])('tells %o from %o', (a, b) => {
    expect(encodeKey(a)).not.toBe(encodeKey(b))
  })

  it('does not depend on the order of an object’s keys', () => {
    expect(encodeKey([{ a: 1, b: { c: 2, d: 3 } }])).toBe(encodeKey([{ b: { d: 3, c: 2 }, a: 1 }]))
  })

  it('that is long becomes short, and stays different', () => {
    const long = 'x'.repeat(300)
    expect(encodeKey(long).length).toBeLessThan(60)
    expect(encodeKey(long)).not.toBe(encodeKey([long]))
    expect(encodeKey(long)).not.toBe(encodeKey(`${long}y`))
    expect(encodeKey(encodeKey(long))).not.toBe(encodeKey(long))
  })

  it.each([
    ['a function', [() => 1]],
    ['a symbol', [Symbol('a')]],
    ['an object with a symbol for a key', ['users', { age: { [Symbol('gt')]: 5 } }]],
    ['an instance of a class', [new (class User {})()]],
    ['a Map', [new Map()]],
    ['a number', 5],
    ['an object', { a: 1 }],
    ['undefined', undefined],
  ])('cannot be or hold %s', (_what, key) => {
    expect(() => encodeKey(key as never)).toThrow(TypeError)
  })

  it('cannot contain itself', () => {
    const loop: unknown[] = []
    loop.push(loop)
    expect(() => encodeKey(loop)).toThrow(TypeError)
  })
})
