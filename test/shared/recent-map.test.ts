import fc from 'fast-check'
import { LRUCache } from 'lru-cache'
import { describe, expect, it } from 'vitest'
import { RecentMap } from '../../src/shared/recent-map.ts'

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e')
const step = fc.oneof(
  fc.record({ call: fc.constantFrom('get', 'peek', 'delete'), key }),
  fc.record({ call: fc.constant('set'), key, value: fc.integer() }),
)

describe('a map of what was used last', () => {
  it('keeps, finds and removes what lru-cache does', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 40 }), (max, steps) => {
        const [removed, disposed]: [number[], number[]] = [[], []]
        const map = new RecentMap<number>(max, (value) => removed.push(value))
        const model = new LRUCache<string, number>({
          max,
          dispose: (value, _key, reason) => reason !== 'set' && disposed.push(value),
        })
        for (const { call, key, ...given } of steps) {
          if (call === 'set') {
            const { value } = given as { value: number }
            map.set(key, value)
            model.set(key, value)
          } else if (call === 'delete') {
            map.delete(key)
            model.delete(key)
          } else expect(map[call as 'get' | 'peek'](key)).toBe(model[call as 'get' | 'peek'](key))
          expect(removed).toEqual(disposed)
          expect([...map.entries()]).toEqual([...model.rentries()])
        }
      }),
    )
  })

  it('keeps the same of many that are set at once as of those set one after another', () => {
    const lists = fc.array(fc.array(key, { maxLength: 8 }), { maxLength: 5 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), lists, (max, lists) => {
        const removed: number[] = []
        const many = new RecentMap<number>(max, (value) => removed.push(value))
        const each = new RecentMap<number>(max)
        const last = new Map<string, number>()
        for (const [index, keys] of lists.entries()) {
          many.setAll(keys, index)
          for (const key of keys) {
            each.set(key, index)
            last.set(key, index)
          }
          expect([...many.entries()]).toEqual([...each.entries()])
          const forgotten = [...last].filter(([key]) => many.peek(key) === undefined).map(([, value]) => value)
          expect(removed).toEqual(expect.arrayContaining(forgotten))
        }
      }),
    )
  })
})
