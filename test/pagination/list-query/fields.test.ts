import fc from 'fast-check'
import { date, flag, int, manyOf, oneOf, text } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { fault } from '../../../src/pagination/list-query/field.ts'
import { datePattern, escapePattern, rangePattern } from '../../../src/pagination/list-query/patterns.ts'
import { character } from '../support/characters.ts'

const numRuns = Number(process.env.PROPERTY_RUNS ?? 300)

describe('oneOf', () => {
  const role = oneOf('admin', 'user')

  it('takes its choices as they are spelled, and nothing else', () => {
    expect(role.read('admin')).toBe('admin')
    for (const value of ['Admin', 'admin ', 'root', '__proto__', 'toString', 1, null, ['admin'], { admin: 1 }]) {
      expect(role.read(value)).toBe(fault)
    }
  })

  it('takes an empty value for none', () => {
    expect(role.read('')).toBeUndefined()
    expect(oneOf('a', 'b', { default: 'b' }).read('')).toBe('b')
  })

  it('refuses no choices, choices of another type and a default of another spelling', () => {
    expect(() => oneOf()).toThrow(new TypeError('Expected the choices to be one or more strings that are not empty'))
    expect(() => oneOf(1 as never)).toThrow(TypeError)
    expect(() => oneOf('')).toThrow(TypeError)
    expect(() => oneOf('a', { default: 'b' as 'a' })).toThrow(
      new TypeError("Expected `default` to be one of 'a', got `'b'` (string)"),
    )
  })
})

describe('manyOf', () => {
  const tags = manyOf('news', 'sport', 'a.b')

  it('takes commas and repeats, and lists each choice once in the order of the declaration', () => {
    expect(tags.read('sport,news')).toEqual(['news', 'sport'])
    expect(tags.read(['sport', 'a.b,news', 'sport'])).toEqual(['news', 'sport', 'a.b'])
  })

  it('refuses what is no choice, and what is no text', () => {
    for (const value of ['news,', ',news', 'news, sport', 'axb', ['news', 1], ['x'], { 0: 'news' }, 5, null]) {
      expect(tags.read(value), JSON.stringify(value)).toBe(fault)
    }
  })

  it('takes an empty value, an empty list and a list of empty values for none', () => {
    for (const value of ['', [], [''], ['', '']]) expect(tags.read(value)).toBeUndefined()
    expect(manyOf('a', 'b', { default: ['b'] }).read([])).toEqual(['b'])
    expect(manyOf('a', { default: [] }).missing()).toEqual([])
  })

  it('gives each parse a default of its own', () => {
    const field = manyOf('a', 'b', { default: ['b'] })
    expect(field.missing()).not.toBe(field.missing())
  })

  it('refuses choices that a comma would break', () => {
    expect(() => manyOf('a,b')).toThrow(TypeError)
    expect(() => manyOf('a', '')).toThrow(TypeError)
    expect(() => manyOf('a', { default: ['b' as 'a'] })).toThrow(TypeError)
  })
})

describe('flag', () => {
  it('takes true, false, 1 and 0', () => {
    const field = flag()
    expect(['true', '1', true, 'false', '0', false].map((value) => field.read(value))).toEqual([
      true,
      true,
      true,
      false,
      false,
      false,
    ])
    for (const value of ['', 'TRUE', 'yes', 'on', 1, 0, null, ['true']]) expect(field.read(value)).toBe(fault)
  })

  it('has its default when it is not given', () => {
    expect(flag().missing()).toBeUndefined()
    expect(flag({ default: false }).missing()).toBe(false)
    expect(() => flag({ default: 'yes' as never })).toThrow(TypeError)
  })
})

describe('int', () => {
  it('takes plain digits and whole numbers within its range', () => {
    const field = int({ min: -5, max: 10 })
    expect(['0', '-5', '10', 7].map((value) => field.read(value))).toEqual([0, -5, 10, 7])
    expect(Object.is(field.read(-0), 0)).toBe(true)
  })

  it.each([
    '1e3',
    '0x10',
    '0b1',
    '1.0',
    '1.5',
    '+1',
    ' 1',
    '1 ',
    '007',
    '-0',
    '--1',
    '٣',
    '３',
    '1_000',
    'NaN',
    'Infinity',
  ])('refuses %j', (value) => {
    expect(int().read(value)).toBe(fault)
  })

  it('refuses numbers that are not whole, and other types', () => {
    for (const value of [1.5, Number.NaN, Infinity, 1n, true, null, ['1'], {}]) expect(int().read(value)).toBe(fault)
  })

  it('is bounded by what a 4-byte column holds unless it says otherwise', () => {
    expect(int().read('2147483648')).toBe(fault)
    expect(int({ max: Number.MAX_SAFE_INTEGER }).read('9007199254740991')).toBe(Number.MAX_SAFE_INTEGER)
    expect(int({ max: Number.MAX_SAFE_INTEGER }).read('9007199254740992')).toBe(fault)
    expect(int({ min: 3_000_000_000 }).read('3000000000')).toBe(3_000_000_000)
  })

  it('refuses bounds and defaults that make no sense', () => {
    expect(() => int({ min: 5, max: 1 })).toThrow(RangeError)
    expect(() => int({ min: 0.5 })).toThrow(TypeError)
    expect(() => int({ max: 5, default: 6 })).toThrow(TypeError)
  })
})

describe('text', () => {
  it('takes any text up to its length, counted in characters', () => {
    const field = text({ max: 3 })
    expect(field.read('a\n%')).toBe('a\n%')
    expect(field.read('😀😀😀')).toBe('😀😀😀')
    expect(field.read('abcd')).toBe(fault)
    expect(field.read('a\0b')).toBe(fault)
    expect(field.read('')).toBeUndefined()
    for (const value of [1, null, ['a'], { a: 1 }]) expect(field.read(value)).toBe(fault)
  })

  it('refuses a length of 0 and a default that does not fit', () => {
    expect(() => text({ max: 0 })).toThrow(RangeError)
    expect(() => text({ max: 2, default: 'abc' })).toThrow(TypeError)
  })

  it('answers to a text of megabytes', () => {
    expect(text({ max: 1_000_000 }).read('x'.repeat(5_000_000))).toBe(fault)
  })
})

describe('date', () => {
  it.each([
    ['2024-01-31', '2024-01-31T00:00:00.000Z'],
    ['2024-02-29', '2024-02-29T00:00:00.000Z'],
    ['2000-02-29', '2000-02-29T00:00:00.000Z'],
    ['2024-01-31T09:30:00Z', '2024-01-31T09:30:00.000Z'],
    ['2024-01-31T09:30Z', '2024-01-31T09:30:00.000Z'],
    ['2024-01-31T09:30:00.123456+02:00', '2024-01-31T07:30:00.123Z'],
    ['9999-12-31', '9999-12-31T00:00:00.000Z'],
  ])('takes %s', (value, instant) => {
    expect((date().read(value) as Date).toISOString()).toBe(instant)
  })

  it.each([
    '2024-02-30',
    '2023-02-29',
    '1900-02-29',
    '2024-13-01',
    '2024-00-01',
    '2024-01-00',
    '2024-04-31',
    '0000-01-01',
    '24-01-01',
    '2024-1-1',
    '2024-01-31T09:30:00',
    '2024-01-31 09:30:00Z',
    '2024-01-31T24:00:00Z',
    '2024-01-31T09:30:00 02:00',
    '2024-01-31T09:30:00+25:00',
    '9999-12-31T23:00:00-05:00',
    '0001-01-01T00:00:00+01:00',
    '1706691600000',
    'today',
    '20240131',
    '2024-W05',
    '２０２４-01-31',
  ])('refuses %s', (value) => {
    expect(date().read(value)).toBe(fault)
  })

  it('knows every day of four centuries, as Date counts them', () => {
    const wrong: string[] = []
    for (let day = Date.UTC(1899, 0, 1); day < Date.UTC(2301, 0, 1); day += 86_400_000) {
      const text = new Date(day).toISOString().slice(0, 10)
      if (!datePattern.test(text)) wrong.push(text)
    }
    for (let year = 1899; year <= 2300; year++) {
      for (let month = 1; month <= 12; month++) {
        const beyond = new Date(Date.UTC(year, month, 0)).getUTCDate() + 1
        const text = `${year}-${String(month).padStart(2, '0')}-${beyond}`
        if (datePattern.test(text)) wrong.push(text)
      }
    }
    expect(wrong).toEqual([])
  })

  it('reads what it writes', () => {
    const field = date()
    const instant = fc.date({
      min: new Date('0001-01-01T00:00:00Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(instant, (value) => {
        expect(field.read(field.write(value))).toEqual(value)
      }),
      { numRuns },
    )
  })

  it('gives each parse a Date of its own, so that changing one changes no default', () => {
    const field = date({ default: new Date('2024-01-01') })
    ;(field.missing() as Date).setUTCFullYear(1999)
    expect(field.missing()).toEqual(new Date('2024-01-01'))
    expect(() => date({ default: new Date(Number.NaN) })).toThrow('Expected `default` to be a date')
  })
})

describe('rangePattern', () => {
  const bound = fc.oneof(fc.integer({ min: -1_200, max: 1_200 }), fc.maxSafeInteger())

  it('matches the numbers of its range and no others', () => {
    const range = fc.tuple(bound, bound).map(([a, b]) => (a < b ? ([a, b] as const) : ([b, a] as const)))
    fc.assert(
      fc.property(range, fc.array(bound), ([min, max], numbers) => {
        const pattern = new RegExp(`^(?:${rangePattern(min, max)})$`, 'u')
        const edges = [min - 1, min, min + 1, max - 1, max, max + 1, 0, -1, 1, 10 ** String(max).length]
        for (const number of [...edges, ...numbers].filter(Number.isSafeInteger)) {
          expect(pattern.test(String(number)), `${number} in ${min}..${max}`).toBe(number >= min && number <= max)
        }
      }),
      { numRuns },
    )
  })

  it('takes one spelling of a number', () => {
    const pattern = new RegExp(`^(?:${rangePattern(-10, 250)})$`, 'u')
    for (const text of ['01', '-0', '+1', '1.0', '', ' 1']) expect(pattern.test(text)).toBe(false)
  })
})

describe('escapePattern', () => {
  it('makes a pattern that matches the text alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: character }), fc.string(), (text, other) => {
        const pattern = new RegExp(`^${escapePattern(text)}$`, 'u')
        expect(pattern.test(text)).toBe(true)
        if (other !== text) expect(pattern.test(other)).toBe(false)
      }),
      { numRuns },
    )
  })
})
