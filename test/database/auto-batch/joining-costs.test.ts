import { describe, expect, it } from 'vitest'
import { JoiningCosts } from '../../../src/database/auto-batch/joining-costs.ts'
import { type PlanNode, reasonAgainstPlan } from '../../../src/database/auto-batch/plan-comparison.ts'

describe('JoiningCosts', () => {
  it('compares only after two heavy statements in a row, the round trip not counted', () => {
    const costs = new JoiningCosts()
    for (const ms of [100, 1, 100]) costs.recordJoined(ms, 10, 0.5)
    costs.recordJoined(120, 10, 100)
    costs.recordJoined(100, 10, 0.5)
    expect(costs.isTrialDue).toBe(false)
    costs.recordJoined(100, 10, 0.5)
    expect(costs.isTrialDue).toBe(true)
  })

  it('gives joining up when it loses by far once, or twice in a row', () => {
    const heavy = (costs: JoiningCosts) => {
      for (let run = 0; run < 2; run += 1) costs.recordJoined(100, 10, 0.5)
      return costs
    }
    expect(heavy(new JoiningCosts()).recordSeparate(30, 10)).toBe(true)
    const costs = heavy(new JoiningCosts())
    expect(costs.recordSeparate(60, 10)).toBe(false)
    expect(costs.isTrialDue).toBe(false)
    expect(heavy(costs).recordSeparate(60, 10)).toBe(true)
  })

  it('compares ever more rarely while joining pays', () => {
    const costs = new JoiningCosts()
    const runsUntilTrial = () => {
      let runs = 0
      while (!costs.isTrialDue) {
        costs.recordJoined(100, 10, 0.5)
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
    'Total Cost': cost,
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
