import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expectPackedCounters } from '../../../src/monitor/fleet/publication.ts'
import { addPackedCounters, packCounters } from '../../../src/monitor/traffic/packed-counters.ts'

const counters = fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff_ffff })), { maxLength: 300 })

describe('packed counters', () => {
  it('come back as they went in', () => {
    fc.assert(
      fc.property(counters, (values) => {
        const packed = packCounters(Uint32Array.from(values))
        expectPackedCounters(packed, values.length)
        const target = new Float64Array(values.length)
        addPackedCounters(packed, target)
        expect([...target]).toEqual(values)
        addPackedCounters(packed, target, -1)
        expect(target.every((value) => value === 0)).toBe(true)
      }),
    )
  })

  it('are refused when they are arbitrary bytes that would not fit', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 60 }), (bytes, length) => {
        try {
          expectPackedCounters(bytes, length)
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
          return
        }
        const target = new Float64Array(length + 1)
        addPackedCounters(bytes, target)
        expect(target[length]).toBe(0)
        expect(target.every((value) => Number.isSafeInteger(value) && value >= 0)).toBe(true)
      }),
    )
  })
})
