import fc from 'fast-check'
import { build } from 'hdr-histogram-js'
import { describe, expect, it } from 'vitest'
import { DurationHistogram } from '../../../src/database/statistics/shape-statistics.ts'

describe('DurationHistogram', () => {
  it('gives the percentiles of HdrHistogram', () => {
    const shares = [0.01, 0.5, 0.95, 0.99, 0.999, 1]
    const microseconds = fc.oneof(fc.integer({ min: 1, max: 2_000 }), fc.integer({ min: 1, max: 0xffff_ffff }))
    fc.assert(
      fc.property(fc.array(microseconds, { minLength: 1, maxLength: 200 }), (durations) => {
        const own = new DurationHistogram()
        const hdr = build({ bitBucketSize: 32, autoResize: true, numberOfSignificantValueDigits: 2 })
        for (const us of durations) {
          own.record(us / 1_000)
          hdr.recordValue(us)
        }
        for (const share of shares) {
          expect(own.percentile(share)).toBe(hdr.getValueAtPercentile(share * 100) / 1_000)
        }
      }),
    )
  })

  it('takes what is too short or too long as the shortest or longest it holds', () => {
    const histogram = new DurationHistogram()
    expect(histogram.percentile(0.5)).toBe(0)
    histogram.record(0)
    expect(histogram.percentile(1)).toBe(0.001)
    histogram.record(1e12)
    expect(histogram.percentile(1)).toBe(0xffff_ffff / 1_000)
  })
})
