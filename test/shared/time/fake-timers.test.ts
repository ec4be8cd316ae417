import { createCache, PerformanceMonitor } from 'posthaste'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'

// The way of docs/recipes/testing.md.
const clock = () => Date.now()

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

it('values age with the fake timers of a test if the clock is its `Date`', async () => {
  const profiles = { fresh: '1m', stale: { ttl: '1m', stale: '5m' } } as const
  const cache = createCache({ profiles, clock })
  const load = vi.fn(async () => Date.now())
  const get = (profile: keyof typeof profiles) => cache.getOrSet(profile, load, { profile })
  const first = await get('fresh')
  expect([await get('stale'), await get('fresh')]).toEqual([first, first])

  await vi.advanceTimersByTimeAsync(60_001)
  expect(await get('fresh')).toBe(first + 60_001)
  expect(await get('stale')).toBe(first)
  await vi.advanceTimersByTimeAsync(0)
  expect(await get('stale')).toBe(first + 60_001)

  vi.setSystemTime(first + 600_000)
  expect(await get('fresh')).toBe(first + 600_000)
  expect(load).toHaveBeenCalledTimes(5)
  await cache.close()
})

it('the window of a monitor moves with them', async () => {
  const monitor = new PerformanceMonitor({ clock })
  monitor.recordTiming('old', 1)
  await vi.advanceTimersByTimeAsync(400_000)
  monitor.recordTiming('new', 1)
  expect(monitor.snapshot().timings).toMatchObject({ old: { count: 0 }, new: { count: 1 } })
  await monitor.close()
})
