import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { EventLoopSampler } from '../../../src/monitor/system/event-loop.ts'

function block(ms: number): void {
  const end = performance.now() + ms
  while (performance.now() < end);
}

describe('the event loop between two samples', () => {
  it.each([0, 5, 15, 25, 45])('has a stall that begins %d ms after a sample, once', async (afterMs) => {
    const sampler = new EventLoopSampler()
    try {
      await sleep(60)
      sampler.sample()
      await sleep(afterMs)
      block(400)
      await sleep(60)
      const { stalls, delayMs } = sampler.sample()
      // A busy machine may add others, and time to this one.
      expect(stalls.filter((ms) => ms > 370)).toHaveLength(1)
      expect(delayMs.max).toBeGreaterThan(370)
      expect(sampler.sample().stalls.filter((ms) => ms > 370)).toEqual([])
    } finally {
      sampler.close()
    }
  })

  it('has a stall that ends just before the sample', async () => {
    const sampler = new EventLoopSampler()
    try {
      await sleep(60)
      block(400)
      expect(sampler.sample().stalls[0]).toBeGreaterThan(370)
      await sleep(60)
      expect(sampler.sample().stalls.filter((ms) => ms > 370)).toEqual([])
    } finally {
      sampler.close()
    }
  })
})
