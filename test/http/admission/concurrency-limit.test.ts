import { describe, expect, it } from 'vitest'
import { ConcurrencyLimit } from '../../../src/http/admission/concurrency-limit.ts'

function makeLimit(fixed?: number) {
  const clock = { time: 1_000, now: () => clock.time, loopMs: () => 10, onLeave: () => {} }
  return { limit: new ConcurrencyLimit('GET /', clock, fixed), clock }
}

/** Requests in flight whose number and latency the test chooses, a window of 100 ms at a time. */
function flow(latencies: readonly (readonly [ms: number, inFlight: number])[]) {
  const { limit, clock } = makeLimit()
  const entered: number[] = []
  for (const [ms, inFlight] of latencies) {
    for (let response = 0; response < 20; response++) {
      clock.time += 5
      while (entered.length <= inFlight && !limit.isFull) entered.push(limit.enter(clock.time))
      if (entered.shift() !== undefined) limit.leave(limit.enter(clock.time - ms), 'completed')
      limit.inFlight = entered.length
    }
  }
  return limit
}

describe('the limit of requests in flight', () => {
  it('is none while requests are as fast as ever, however many they are', () => {
    expect(
      flow([
        [40, 8],
        [40, 20],
        [40, 60],
        [40, 200],
        [40, 800],
      ]).limit,
    ).toBe(Infinity)
  })

  it('is none while they are slower, but not more', () => {
    expect(
      flow([
        [40, 20],
        [40, 20],
        [200, 20],
        [200, 20],
        [200, 20],
        [200, 20],
        [200, 20],
      ]).limit,
    ).toBe(Infinity)
  })

  it('follows throughput and the latency before when they are slower and more', () => {
    // 200 a second of 40 ms are 8 in flight, and half as much again.
    const { limit } = flow([
      [40, 8],
      [100, 20],
      [180, 40],
      [260, 60],
      [340, 80],
    ])
    expect(limit).toBeGreaterThanOrEqual(12)
    expect(limit).toBeLessThanOrEqual(16)
  })

  it('counts stamps on over the wrap-around of their integers', () => {
    const { limit, clock } = makeLimit()
    clock.time = 2 ** 31 / 100 - 20
    for (let window = 0; window < 3; window++) {
      for (let response = 0; response < 20; response++) {
        const enteredAt = limit.enter(clock.time)
        clock.time += 5
        limit.leave(enteredAt, 'completed')
      }
    }
    expect(limit.limit).toBe(Infinity)
    expect(limit.inFlight).toBe(0)
  })

  it('stays as it is when it is a number', () => {
    const { limit, clock } = makeLimit(3)
    for (let response = 0; response < 200; response++) {
      clock.time += 50
      limit.leave(limit.enter(clock.time - 900), 'completed')
    }
    expect(limit.limit).toBe(3)
    limit.enter(clock.time)
    limit.enter(clock.time)
    expect(limit.isFull).toBe(false)
    limit.enter(clock.time)
    expect(limit.isFull).toBe(true)
  })
})
