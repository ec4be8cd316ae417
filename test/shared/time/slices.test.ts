import { afterEach, describe, expect, it, vi } from 'vitest'
import { runInSlices, yieldIfDue } from '../../../src/shared/time/slices.ts'

function* work(steps: number) {
  for (let step = 0; step < steps; step++) {
    const until = performance.now() + 1
    while (performance.now() < until);
    yield
  }
  return steps
}

describe('work in slices', () => {
  afterEach(() => void vi.useRealTimers())

  it('lets the event loop turn every few milliseconds', async () => {
    let isDone = false
    let turns = 0
    const count = () => {
      turns++
      if (!isDone) setImmediate(count)
    }
    setImmediate(count)
    expect(await runInSlices(work(40))).toBe(40)
    isDone = true
    expect(turns).toBeGreaterThanOrEqual(5)
  })

  it('goes on while a test runner fakes the timers', async () => {
    vi.useFakeTimers()
    for (let step = 0; step < 20; step++) {
      vi.advanceTimersByTime(10)
      await yieldIfDue()
    }
  })
})
