import { describe, expect, it } from 'vitest'
import { stripHiddenColumns } from '../../../src/pagination/seek/hidden-columns.ts'

describe('the rows of a page', () => {
  it('are without the columns that were added', () => {
    const rows = [
      { id: 1, name: null, posthastek0: '1' },
      { id: 2, name: 'b', posthastek0: '2' },
    ]
    expect(stripHiddenColumns(rows)).toStrictEqual([
      { id: 1, name: null },
      { id: 2, name: 'b' },
    ])
    expect(stripHiddenColumns([])).toEqual([])
  })

  it('keep their own columns, where a plugin of the user’s leaves some out', () => {
    const rows = [
      { id: 1, a: 1, posthastek0: '1' },
      { id: 2, b: 2, posthastek0: '2' },
      { id: 3, posthastek0: '3' },
      { id: 4, a: 1, b: 2, posthastek0: '4' },
    ]
    expect(stripHiddenColumns(rows)).toStrictEqual([{ id: 1, a: 1 }, { id: 2, b: 2 }, { id: 3 }, { id: 4, a: 1, b: 2 }])
  })

  it('stay instances of the class that a plugin of the user’s makes them', () => {
    class Person {
      readonly name = 'a'
      readonly posthastek0 = '1'
      get initial() {
        return this.name[0]
      }
    }
    const [shown] = stripHiddenColumns([new Person() as never])
    expect(shown).toBeInstanceOf(Person)
    expect({ ...shown, initial: shown?.initial }).toEqual({ name: 'a', initial: 'a' })
  })

  it('keep columns that are named as shortly', () => {
    const phones = { id: 1, phn1: '555', pho0: null, phx0: '1', phk0: 'x', posthaste: 1 }
    expect(stripHiddenColumns([{ ...phones, posthastek0: '1' }])).toStrictEqual([phones])
  })

  it('keep columns of any name', () => {
    const own = `row"]:1,'\\\n\u2028`
    const row = JSON.parse(`{"__proto__": 1, ${JSON.stringify(own)}: 2, "posthastek0": "3"}`)
    const [shown] = stripHiddenColumns([row, row])
    expect(Object.entries(shown ?? {})).toEqual([
      ['__proto__', 1],
      [own, 2],
    ])
  })
})
