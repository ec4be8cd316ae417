import { describe, expect, it } from 'vitest'
import { CoarseTime } from '../../../src/cache/memory/coarse-time.ts'
import { systemClock } from '../../../src/shared/time/clock.ts'

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
})
