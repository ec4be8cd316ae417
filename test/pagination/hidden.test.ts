import { describe, expect, it, vi } from 'vitest'
import { visible } from '../../src/pagination/hidden.ts'

describe('the rows of a page', () => {
  it('are without the columns that were added', () => {
    const rows = [
      { id: 1, name: null, phk0: '1' },
      { id: 2, name: 'b', phk0: '2' },
    ]
    expect(visible(rows)).toStrictEqual([
      { id: 1, name: null },
      { id: 2, name: 'b' },
    ])
    expect(visible([])).toEqual([])
  })

  it('keep their own columns, where a plugin of the user’s leaves some out', () => {
    const rows = [
      { id: 1, a: 1, phk0: '1' },
      { id: 2, b: 2, phk0: '2' },
      { id: 3, phk0: '3' },
      { id: 4, a: 1, b: 2, phk0: '4' },
    ]
    expect(visible(rows)).toStrictEqual([{ id: 1, a: 1 }, { id: 2, b: 2 }, { id: 3 }, { id: 4, a: 1, b: 2 }])
  })

  it.each([true, false])('keep columns of any name, where code may be generated: %s', (allowed) => {
    if (!allowed)
      vi.stubGlobal(
        'Function',
        class {
          constructor() {
            throw new EvalError('forbidden')
          }
        },
      )
    const own = `row"]:1,'\\\n\u2028${allowed}`
    const row = JSON.parse(`{"__proto__": 1, ${JSON.stringify(own)}: 2, "phk0": "3"}`)
    const [shown] = visible([row, row])
    vi.unstubAllGlobals()
    expect(Object.entries(shown ?? {})).toEqual([
      ['__proto__', 1],
      [own, 2],
    ])
  })
})
