import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import { inheritsNothing, isPlainObject } from '../../src/shared/plain-object.ts'

/** As fast-querystring makes them. */
const withEmptyPrototype = Object.create(Object.create(null))

describe('isPlainObject', () => {
  it.each<[string, unknown, boolean]>([
    ['a literal', {}, true],
    ['one without a prototype', Object.create(null), true],
    ['one with an empty prototype', withEmptyPrototype, true],
    ['one of another realm', runInNewContext('({ a: 1 })'), true],
    ['an array', [], false],
    ['an array of another realm', runInNewContext('[]'), false],
    ['a date', new Date(), false],
    ['an instance', new (class Point {})(), false],
    ['an instance of a class that extends null', Object.create(Object.create(null, { length: { value: 1 } })), false],
    ['null', null, false],
    ['a function', () => {}, false],
    ['text', 'x', false],
  ])('%s: %j', (_name, value, expected) => {
    expect(isPlainObject(value)).toBe(expected)
  })
})

describe('inheritsNothing', () => {
  it('tells objects without `hasOwnProperty` from literals of any realm', () => {
    expect([Object.create(null), withEmptyPrototype].map(inheritsNothing)).toEqual([true, true])
    expect([{}, runInNewContext('({})')].map(inheritsNothing)).toEqual([false, false])
  })
})
