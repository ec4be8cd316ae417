import fc from 'fast-check'
import { build, encodeIntoCompressedBase64, type Histogram } from 'hdr-histogram-js'
import { PerformanceMonitor } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { intervalRanks } from '../../../src/monitor/traffic/tally.ts'
import { BucketLayout, longestUs } from '../../../src/shared/buckets.ts'

const runs = Number(process.env.PROPERTY_RUNS ?? 100)

describe('percentiles', () => {
  it('have a P99 of a million lognormal samples within half a percent of the exact one', () => {
    const { monitor, record } = recorder()
    const random = randomNumbers(7)
    const samples = new Float64Array(1_000_000)
    for (let place = 0; place < samples.length; place++) {
      // Median 20 ms, sigma 1 (Box and Muller).
      const normal = Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random())
      samples[place] = Math.exp(Math.log(20) + normal)
      record(samples[place]!)
    }
    samples.sort()
    const { latencyMs } = monitor.endpoint('GET', '/')!
    for (const [name, share] of [
      ['p50', 0.5],
      ['p95', 0.95],
      ['p99', 0.99],
      ['p99_9', 0.999],
    ] as const) {
      const exact = samples[Math.ceil(samples.length * share) - 1]!
      const error = Math.abs(latencyMs[name]! - exact) / exact
      expect(error, name).toBeLessThan(name === 'p99' ? 0.005 : 0.0079)
    }
    expect(latencyMs.avg).toBeCloseTo(samples.reduce((sum, sample) => sum + sample, 0) / samples.length, 2)
    expect(latencyMs.max).toBeCloseTo(samples.at(-1)!, 3)
  })

  it.each([2, 3] as const)('have the buckets of hdr-histogram-js, all of them, with %i digits', (digits) => {
    const layout = new BucketLayout(digits)
    // Not in its types, but what it records with.
    const reference = hdr(digits) as unknown as Record<
      'countsArrayIndex' | 'highestEquivalentValue',
      (us: number) => number
    >
    const wrong: number[] = []
    for (let index = 1; index < layout.length; index++) {
      const lowest = layout.highestOf(index - 1) + 1
      const highest = layout.highestOf(index)
      for (const us of [lowest, highest]) {
        if (layout.indexOf(us) !== index || reference.countsArrayIndex(us) !== index) wrong.push(us)
        if (reference.highestEquivalentValue(us) !== highest) wrong.push(us)
      }
    }
    expect(wrong).toEqual([])
    expect(layout.highestOf(layout.length - 1)).toBe(longestUs)
  })

  it('come from the histogram that hdr-histogram-js would have recorded, whatever is recorded', async () => {
    const microseconds = fc.oneof(fc.integer({ min: 1, max: longestUs }), fc.integer({ min: 1, max: 10_000 }))
    await fc.assert(
      fc.asyncProperty(
        fc.array(microseconds, { maxLength: 300 }),
        fc.constantFrom(2 as const, 3 as const),
        async (values, digits) => {
          const { monitor, record } = recorder({ precision: digits })
          const reference = hdr(digits)
          for (const value of values) {
            record(value / 1_000)
            reference.recordValue(value)
          }
          expect(await monitor.toHdr('GET', '/')).toBe(encodeIntoCompressedBase64(reference))
        },
      ),
      { numRuns: runs },
    )
  })

  it('are nearest ranks, within a bucket, for any few samples', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5_000_000 }), { minLength: 1, maxLength: 60 }), (values) => {
        const { monitor, record } = recorder()
        for (const value of values) record(value / 1_000)
        const { latencyMs } = monitor.endpoint('GET', '/')!
        const sorted = values.toSorted((a, b) => a - b)
        for (const [name, share] of [
          ['p50', 0.5],
          ['p75', 0.75],
          ['p90', 0.9],
          ['p95', 0.95],
          ['p99', 0.99],
        ] as const) {
          const exact = sorted[Math.ceil(sorted.length * share - 1e-9) - 1]! / 1_000
          expect(latencyMs[name]).toBeGreaterThanOrEqual(exact)
          expect(latencyMs[name]).toBeLessThanOrEqual(exact * 1.0079 + 0.001)
        }
        expect(latencyMs.min).toBe(sorted[0]! / 1_000)
        expect(latencyMs.max).toBe(sorted.at(-1)! / 1_000)
      }),
      { numRuns: runs },
    )
  })

  it('have an interval that holds the true P95 nineteen times of twenty', () => {
    const random = randomNumbers(11)
    let held = 0
    const rounds = 1_000
    for (let round = 0; round < rounds; round++) {
      const samples = Float64Array.from({ length: 300 }, random).sort()
      const [low, high] = intervalRanks(300, 0.95)
      if (samples[low - 1]! <= 0.95 && samples[high - 1]! >= 0.95) held++
    }
    expect(held / rounds).toBeGreaterThan(0.94)
    expect(held / rounds).toBeLessThan(0.99)
  })

  it('say with a wide interval that forty samples prove little about a P99', () => {
    const { monitor, record } = recorder()
    for (let ms = 1; ms <= 40; ms++) record(ms)
    const { p99, p99Ci } = monitor.endpoint('GET', '/')!.latencyMs
    expect(p99).toBe(40)
    expect(p99Ci![0]).toBeLessThan(40)
    expect(p99Ci![1]).toBe(40)
  })

  it('are null when nothing was recorded, and never 0', () => {
    const { latencyMs, errorRate, apdex, correctedMs } = new PerformanceMonitor({ sampleInterval: false }).snapshot()
      .requests
    expect(Object.values(latencyMs).every((value) => value === null)).toBe(true)
    expect([errorRate, apdex, correctedMs?.p95]).toEqual([null, null, null])
  })
})

/** A monitor whose clock moves only by what is recorded. */
function recorder(options: { precision?: 2 | 3 } = {}) {
  let now = 0
  let startedAt = 0
  const monitor = new PerformanceMonitor({
    ...options,
    sampleInterval: false,
    stallCorrection: false,
    clock: () => now,
  })
  const record = (ms: number) => {
    startedAt = -ms
    now = 0
    monitor.record('GET', '/', 200, startedAt)
  }
  return { monitor, record }
}

function hdr(digits: 2 | 3): Histogram {
  return build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: digits,
  })
}

/** Numbers between 0 and 1, the same for each seed (xorshift, Marsaglia 2003). */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return ((state >>> 0) + 0.5) / 2 ** 32
  }
}
