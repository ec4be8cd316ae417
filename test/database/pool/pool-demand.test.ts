import type { PoolStats } from 'posthaste'
import { describe, expect, it } from 'vitest'
import { PoolDemand, poolAdvice } from '../../../src/database/pool/pool-demand.ts'

/** As many callers a second as given, for so many seconds, each holding its connection as long. */
function demandOf(
  demand: PoolDemand,
  {
    from,
    seconds,
    perSecond,
    holdMs,
    waitMs = 0,
  }: Record<string, number> & { from: number; seconds: number; perSecond: number; holdMs: number },
) {
  for (let caller = 0; caller < seconds * perSecond; caller += 1) {
    const now = from + (caller / perSecond) * 1_000
    demand.recordRequest(now)
    demand.recordWait(now, waitMs)
    demand.recordHold(now, holdMs)
  }
}

const advise = (demand: PoolDemand, now: number, max: number) =>
  poolAdvice({ max, demand: demand.snapshot(now) } as PoolStats)

describe('the advice on the size of a pool', () => {
  it('is that of the busiest minute, by Little and Erlang', () => {
    const demand = new PoolDemand()
    const start = performance.now()
    demandOf(demand, { from: start, seconds: 60, perSecond: 10, holdMs: 20 })
    demandOf(demand, { from: start + 60_000, seconds: 60, perSecond: 100, holdMs: 50 })
    demandOf(demand, { from: start + 120_000, seconds: 60, perSecond: 20, holdMs: 30 })
    // 100 a second, held for 0.05 s: 5 are busy. Erlang C gives 1 % of callers that wait with 12, 1.9 % with 11.
    expect(advise(demand, start + 180_000, 10)).toBe(
      "In the busiest minute 100 connections a second were asked for, each held for 50 ms after a wait of 0 ms: by Little's law 5 were busy on average, and 12 let 99 of 100 callers have one at once; the pool has 10: raise its size, if the server has cores for it, or hold connections for a shorter time.",
    )
    expect(advise(demand, start + 180_000, 20)).toMatch(/; the pool has 20, which is enough\.$/)
  })

  it('counts those who wait, where the pool is too small to serve what is asked for', () => {
    const demand = new PoolDemand()
    const start = performance.now()
    demandOf(demand, { from: start, seconds: 30, perSecond: 20, holdMs: 100, waitMs: 1_000 })
    expect(advise(demand, start + 30_000, 2)).toMatch(
      / 2 were busy on average, and 22 let .* the pool has 2: raise its size/,
    )
  })

  it('is none while too little was asked for', () => {
    const demand = new PoolDemand()
    const start = performance.now()
    demandOf(demand, { from: start, seconds: 1, perSecond: 9, holdMs: 100 })
    expect(advise(demand, start + 1_000, 2)).toBeUndefined()
  })
})
