import { afterEach, describe, expect, it, vi } from 'vitest'
import { CoarseTime, systemClock } from '../../../src/shared/time/clock.ts'

describe('the coarse time', () => {
  it('is not older than the turn of the event loop, also in a timer that was due before it was read', async () => {
    const time = new CoarseTime()
    let resumedAt = 0
    const seen = new Promise<number>((resolve) => {
      setTimeout(() => resolve(time.now()), 1)
      // Between the turn that reads the time and the timer, the process stands still.
      setImmediate(() => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30)
        resumedAt = systemClock()
      })
      time.now()
    })
    expect(await seen).toBeGreaterThanOrEqual(resumedAt)
  })

  it('is read again after a thousand uses within a turn', () => {
    const time = new CoarseTime()
    const first = time.now()
    let uses = 1
    while (time.now() === first) uses++
    expect(uses).toBe(1_001)
  })

  describe('where a test has fake timers', () => {
    afterEach(() => {
      vi.useRealTimers()
    })

    const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 5))
    const useFakeTimers = () => vi.useFakeTimers({ toFake: ['setImmediate', 'setTimeout', 'performance'] })

    it('goes on when they are gone', async () => {
      const time = new CoarseTime()
      await nextTurn()
      useFakeTimers()
      time.now()
      vi.useRealTimers()
      for (let turn = 0; turn < 3; turn++) {
        const before = time.now()
        await nextTurn()
        expect(time.now()).toBeGreaterThan(before)
      }
    })

    it('goes on with them', () => {
      useFakeTimers()
      const time = new CoarseTime()
      const before = time.now()
      vi.advanceTimersByTime(1_000)
      expect(time.now()).toBeGreaterThan(before)
    })

    it('goes on with them if it was read before in the same turn', () => {
      const time = new CoarseTime()
      time.now()
      useFakeTimers()
      for (let uses = 0; uses < 1_001; uses++) time.now()
      const before = time.now()
      vi.advanceTimersByTime(1_000)
      expect(time.now()).toBeGreaterThan(before)
    })
  })
})
