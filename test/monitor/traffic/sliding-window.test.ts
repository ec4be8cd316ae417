import fc from 'fast-check'
import { PerformanceMonitor } from 'posthaste'
import { describe, expect, it } from 'vitest'

describe('the sliding window', () => {
  it('forgets a burst once it is older than the window', () => {
    const { monitor, record, clock } = at('5m')
    for (let count = 0; count < 100; count++) record(2_000)
    for (let count = 0; count < 1_000; count++) record(5)
    expect(monitor.snapshot().requests.latencyMs.p99).toBeGreaterThan(1_900)
    clock.now += 200_000
    for (let count = 0; count < 1_000; count++) record(5)
    expect(monitor.snapshot().requests.latencyMs.p99).toBeGreaterThan(1_900)
    clock.now += 100_001
    const { requests } = monitor.snapshot()
    expect(requests.count).toBe(1_000)
    expect(requests.latencyMs.p99).toBeLessThan(5.1)
    expect(requests.latencyMs.max).toBe(5)
    expect(requests.total).toBe(2_100)
  })

  it('empties without a timer, and then says null', () => {
    const { monitor, record, clock } = at('1m')
    record(7)
    clock.now += 60_001
    const { count, latencyMs, perSecond, status } = monitor.endpoint('GET', '/')!
    expect({ count, p99: latencyMs.p99, max: latencyMs.max, perSecond, status }).toEqual({
      count: 0,
      p99: null,
      max: null,
      perSecond: 0,
      status: {},
    })
  })

  it('holds, at any moment, what is younger than the window less a slice, and nothing older than the window', () => {
    const step = fc.record({ wait: fc.integer({ min: 0, max: 9_000 }), ms: fc.integer({ min: 1, max: 3_000 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.integer({ min: 0, max: 70_000 }), (steps, last) => {
        const { monitor, record, clock } = at('1m')
        const recorded: Array<{ at: number; ms: number }> = []
        for (const { wait, ms } of steps) {
          clock.now += wait
          record(ms)
          recorded.push({ at: clock.now, ms })
        }
        clock.now += last
        const { count, latencyMs } = monitor.snapshot().requests
        const surely = recorded.filter((entry) => entry.at >= clock.now - 59_000)
        const possibly = recorded.filter((entry) => entry.at >= clock.now - 60_000)
        expect(count).toBeGreaterThanOrEqual(surely.length)
        expect(count).toBeLessThanOrEqual(possibly.length)
        if (count > 0) expect(possibly.map(({ ms }) => ms)).toContain(latencyMs.max)
        if (count === possibly.length && count > 0) {
          const sum = possibly.reduce((total, { ms }) => total + ms, 0)
          expect(latencyMs.avg).toBeCloseTo(sum / count, 2)
        }
      }),
      { numRuns: Number(process.env.PROPERTY_RUNS ?? 100) },
    )
  })

  it('counts requests a second over what it covers', () => {
    const { monitor, record, clock } = at('1m')
    record(1)
    expect(monitor.snapshot().requests.perSecond).toBe(1)
    for (let second = 0; second < 120; second++) {
      clock.now += 1_000
      for (let count = 0; count < 10; count++) record(1)
    }
    expect(monitor.snapshot().requests.perSecond).toBeCloseTo(10, 0)
  })

  it.each(['1s', '2h', 'soon'])('cannot be %s long', (window) => {
    expect(() => new PerformanceMonitor({ window: window as '1s' })).toThrow(/Expected `window` to be/)
  })
})

function at(window: '1m' | '5m') {
  const clock = { now: 1_000_000 }
  const monitor = new PerformanceMonitor({ window, sampleInterval: false, alerts: false, clock: () => clock.now })
  const record = (ms: number) => monitor.record('GET', '/', 200, clock.now - ms)
  return { monitor, record, clock }
}
