import type { PlanNode } from '../../shared/index-advice/postgres-plan.ts'

/**
 * In PostgreSQL's unit of cost, which is about one page read. From this cost on, the round trip is a small part of a
 * lookup.
 */
const heavyCost = 1_000
/** Below this cost, the difference between two plans does not matter. */
const lightCost = 50

/**
 * Why PostgreSQL would run the joined statement slower than the separate queries, judged by their plans. For the joined
 * statement, the planner does not know the values. For a separate query, it can use several processes.
 *
 * @returns `undefined` when nothing speaks against joining
 */
export function reasonAgainstPlan(joined: PlanNode, separate: readonly PlanNode[]): string | undefined {
  const inner = lookupPlan(joined)
  if (inner === undefined) return undefined
  if (inner['Total Cost'] > heavyCost) return 'each lookup is so much work that joining saves nothing'
  const worst = worstCost(inner)
  const steps = stepsOf(inner)
  // With the same steps, a plan is not worse: they only cost more for a value that is more common.
  return separate.some((plan) => worst > 4 * Math.max(worstCost(plan), lightCost) && stepsOf(plan) !== steps)
    ? 'its plan depends on the values, and the one for all values is worse'
    : undefined
}

/** The plan of one lookup: the inner side of the outermost loop. */
function lookupPlan(plan: PlanNode): PlanNode | undefined {
  if (plan['Node Type'] === 'Nested Loop') return plan.Plans?.find((node) => node['Parent Relationship'] === 'Inner')
  const [only] = plan.Plans ?? []
  return only === undefined ? undefined : lookupPlan(only)
}

/** The steps that read, join and sort, without those that only pass rows on. */
function stepsOf({ 'Node Type': type, 'Index Name': index, 'Relation Name': relation, Plans = [] }: PlanNode): string {
  const inner = Plans.map(stepsOf).join()
  return passesOn.has(type) ? inner : `${type} ${relation ?? ''} ${index ?? ''}(${inner})`
}

const passesOn: ReadonlySet<string> = new Set(['Limit', 'Subquery Scan', 'Result'])

/**
 * The cost of the largest step, if it ran to its end. With a LIMIT, the total cost is only a guess of when enough rows
 * are found.
 */
function worstCost(plan: PlanNode): number {
  return Math.max(plan['Total Cost'], ...(plan.Plans ?? []).map(worstCost))
}
