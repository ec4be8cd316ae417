import { describe, expect, it } from 'vitest'
import { JoiningCosts } from '../../../src/database/auto-batch/joining-costs.ts'
import { reasonAgainstPlan } from '../../../src/database/auto-batch/plan-comparison.ts'
import type { PlanNode } from '../../../src/shared/index-advice/postgres-plan.ts'

describe('JoiningCosts', () => {
  /** Statements of 10 lookups, one after the other. */
  const sequence = (costs: JoiningCosts) => {
    let now = 0
    return (ms: number, roundTripMs = 0.5) => {
      costs.recordJoined(now, now + ms, 10, roundTripMs)
      now += ms
    }
  }
  const heavy = (costs: JoiningCosts) => {
    for (const startedAt of [1_000_000, 2_000_000]) costs.recordJoined(startedAt, startedAt + 100, 10, 0.5)
    expect(costs.beginTrial()).toBe(true)
    return costs
  }

  it('compares only after two heavy statements in a row, the round trip not counted', () => {
    const costs = new JoiningCosts()
    const run = sequence(costs)
    for (const ms of [100, 1, 100]) run(ms)
    run(120, 100)
    run(100)
    expect(costs.beginTrial()).toBe(false)
    run(100)
    expect(costs.beginTrial()).toBe(true)
  })

  it('counts statements that ran beside each other once, because they may have waited for the same', () => {
    const costs = new JoiningCosts()
    for (const startedAt of [0, 1, 50, 99]) costs.recordJoined(startedAt, startedAt + 100, 10, 0.5)
    expect(costs.beginTrial()).toBe(false)
    costs.recordJoined(200, 300, 10, 0.5)
    expect(costs.beginTrial()).toBe(true)
  })

  it('makes one trial at a time, and forgets it when joined lookups beside it were not heavy', () => {
    const costs = heavy(new JoiningCosts())
    expect(costs.beginTrial()).toBe(false)
    costs.recordJoined(2_000_100, 2_000_101, 10, 0.5)
    expect(costs.recordSeparate(1, 10)).toBe(false)
    expect(heavy(new JoiningCosts()).recordSeparate(30, 10)).toBe(true)
  })

  it('gives joining up when it loses by far once, or twice in a row', () => {
    expect(heavy(new JoiningCosts()).recordSeparate(30, 10)).toBe(true)
    const costs = new JoiningCosts()
    const run = sequence(costs)
    const lose = () => {
      for (let runs = 0; runs < 2; runs += 1) run(100)
      expect(costs.beginTrial()).toBe(true)
      return costs.recordSeparate(60, 10)
    }
    expect([lose(), costs.beginTrial(), lose()]).toEqual([false, false, true])
  })

  it('compares ever more rarely while joining pays', () => {
    const costs = new JoiningCosts()
    const run = sequence(costs)
    const runsUntilTrial = () => {
      let runs = 0
      while (!costs.beginTrial()) {
        run(100)
        runs += 1
      }
      costs.recordSeparate(200, 10)
      return runs
    }
    expect([runsUntilTrial(), runsUntilTrial(), runsUntilTrial()]).toEqual([2, 5, 17])
  })
})

describe('reasonAgainstPlan', () => {
  const node = (type: string, cost: number, ...plans: PlanNode[]): PlanNode => ({
    'Node Type': type,
    'Startup Cost': 0,
    'Total Cost': cost,
    'Plan Rows': 1,
    Plans: plans,
  })
  const joined = (lookup: PlanNode) =>
    node('Nested Loop', 1_000_000, node('Function Scan', 1), { ...lookup, 'Parent Relationship': 'Inner' })

  it.each([
    ['the same plan', node('Index Scan', 8), [node('Index Scan', 8)], undefined],
    ['other plans that are cheap', node('Seq Scan', 40), [node('Index Scan', 8)], undefined],
    [
      'a scan that the LIMIT is hoped to end',
      node('Limit', 3, node('Index Scan', 8_000)),
      [node('Limit', 3, node('Sort', 40))],
      /depends on the values/,
    ],
    [
      'one value of three that is rare',
      node('Seq Scan', 900),
      [node('Seq Scan', 900), node('Seq Scan', 900), node('Index Scan', 8)],
      /depends on the values/,
    ],
    ['lookups that are much work', node('Aggregate', 2_000), [node('Aggregate', 2_000)], /saves nothing/],
  ])('judges %s', (_name, lookup, separate, reason) => {
    const found = reasonAgainstPlan(joined(lookup), separate)
    if (reason === undefined) expect(found).toBeUndefined()
    else expect(found).toMatch(reason)
  })

  it('says nothing about a plan without a loop', () => {
    expect(reasonAgainstPlan(node('Function Scan', 1), [])).toBeUndefined()
  })
})
