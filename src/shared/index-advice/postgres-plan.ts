/** The fields that are read of a node of `explain (format json)`. */
export interface PlanNode {
  readonly 'Node Type': string
  readonly 'Parent Relationship'?: string
  readonly 'Join Type'?: string
  readonly 'Workers Planned'?: number
  readonly 'Parallel Aware'?: boolean
  readonly 'Relation Name'?: string
  readonly Alias?: string
  readonly 'Index Name'?: string
  readonly 'Startup Cost': number
  readonly 'Total Cost': number
  readonly 'Plan Rows': number
  readonly Plans?: readonly PlanNode[]
}

/** The plan in the rows of `explain (format json)`. */
export function planIn(rows: readonly unknown[]): PlanNode {
  const [value] = Object.values(rows[0] ?? {})
  // Some drivers parse JSON, others return its text.
  const [{ Plan: root }] = (typeof value === 'string' ? JSON.parse(value) : value) as [{ Plan: PlanNode }]
  return root
}
