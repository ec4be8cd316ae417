import { PerformanceMonitor, type StatsDocument } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { collectGarbage } from '../../support/collect-garbage.ts'

/** Fails unless the points of the history add up to what was recorded. */
const sum = (document: StatsDocument) => document.history?.reduce((all, { count }) => all + count, 0)

describe('the history of a document', () => {
  it('is there only when the query asks for it', () => {
    const { monitor } = open()
    expect(monitor.snapshot().history).toBeNull()
    expect(monitor.snapshot({ history: true }).history).toEqual([])
  })

  it('has the requests of all endpoints, slice by slice, whenever each of them was last heard of', () => {
    const { monitor, clock } = open()
    const expected: number[] = []
    for (let slice = 0; slice < 70; slice++) {
      const count = (slice * 7) % 5
      expected.push(count)
      for (let request = 0; request < count; request++) {
        // Endpoints that go silent hand their slices over late.
        monitor.record('GET', `/${request % 3}/${slice % 2 === 0 ? 'even' : slice}`, 200, clock.now - 10 * (slice + 1))
      }
      clock.now += 5_000
    }
    const { history } = monitor.snapshot({ history: true })
    const counts = new Map(history?.map(({ at, count }) => [Date.parse(at), count]))
    const seen = expected.map((_, slice) => counts.get(10_000_000 + slice * 5_000) ?? 0)
    expect(seen.slice(-59)).toEqual(expected.slice(-59))
    expect(seen.slice(0, 10)).toEqual(Array(10).fill(0))
  })

  it('has percentiles, rates and shares of each slice, of that slice alone', () => {
    const { monitor, clock } = open()
    for (const ms of [10, 20, 30, 1_000]) monitor.record('GET', '/a', ms === 1_000 ? 503 : 200, clock.now - ms)
    clock.now += 5_000
    monitor.record('GET', '/b', 404, clock.now - 5)
    clock.now += 5_000
    const [first, second, ...others] = monitor.snapshot({ history: true }).history ?? []
    expect(others).toEqual([])
    expect(first).toMatchObject({ count: 4, perSecond: 0.8, errorRate: 0.25, clientErrorRate: 0, inFlight: null })
    expect(first?.latencyMs.p50).toBeCloseTo(20, 0)
    expect(first?.latencyMs.p99).toBeCloseTo(1_000, -1)
    expect(second).toMatchObject({ count: 1, errorRate: 0, clientErrorRate: 1 })
    expect(second?.latencyMs.p95).toBeCloseTo(5, 0)
  })

  it('has the last sample of a slice, and the current slice once it is half over', async () => {
    const { monitor, clock } = open()
    monitor.start()
    await monitor.sample()
    clock.now += 2_400
    expect(monitor.snapshot({ history: true }).history).toEqual([])
    monitor.start()
    await monitor.sample()
    clock.now += 200
    const [point, ...others] = monitor.snapshot({ history: true }).history ?? []
    expect(others).toEqual([])
    expect(point).toMatchObject({ count: 0, perSecond: 0, inFlight: 2, latencyMs: { p50: null } })
    expect(point?.memoryPercent).toBeGreaterThan(0)
  })

  it('forgets what is older than the window, and everything at a reset', () => {
    const { monitor, clock } = open()
    monitor.record('GET', '/a', 200, clock.now - 10)
    clock.now += 295_000
    expect(sum(monitor.snapshot({ history: true }))).toBe(1)
    clock.now += 10_000
    expect(monitor.snapshot({ history: true }).history).toEqual([])
    monitor.record('GET', '/a', 200, clock.now - 10)
    clock.now += 5_000
    monitor.reset()
    expect(monitor.snapshot({ history: true }).history).toEqual([])
  })

  it('takes no more memory after two days than after an hour, though nobody reads it', () => {
    const { monitor, clock } = open()
    const recordFor = (hours: number) => {
      for (let slice = 0; slice < hours * 720; slice++) {
        clock.now += 5_000
        monitor.record('GET', '/a', 200, clock.now - 10)
      }
      collectGarbage()
      const { heapUsed, arrayBuffers } = process.memoryUsage()
      return heapUsed + arrayBuffers
    }
    const afterHour = recordFor(1)
    expect(recordFor(47) - afterHour).toBeLessThan(5_000_000)
    monitor.reset()
  })

  it('says how much of the window is covered', () => {
    const { monitor, clock } = open()
    clock.now += 3_000
    expect(monitor.snapshot().coveredMs).toBe(3_000)
    clock.now += 600_000
    expect(monitor.snapshot().coveredMs).toBeGreaterThan(290_000)
    expect(monitor.snapshot().coveredMs).toBeLessThanOrEqual(300_000)
  })
})

function open() {
  const clock = { now: 10_000_000 }
  return { clock, monitor: new PerformanceMonitor({ sampleInterval: false, clock: () => clock.now, disk: false }) }
}
