/** A table in the JSON of `explain`. */
export interface TablePlan {
  /** Absent for a row that was read before the query: version 2 of MySQL's JSON does not name its table. */
  readonly table_name?: string | undefined
  readonly access_type: string
  readonly key?: string
  readonly rows?: number
  readonly rows_examined_per_scan?: number
  /** The percentage of the rows that the planner expects to match. */
  readonly filtered?: number | string
  readonly r_rows?: number | null
  readonly r_loops?: number
}

/** A step in version 2 of MySQL's JSON of `explain`, which is the default of MySQL 9. */
interface PlanStep {
  readonly access_type?: string
  readonly index_access_type?: string
  readonly table_name?: string
  readonly alias?: string
  readonly index_name?: string
  readonly estimated_rows?: number
  /** Whether the step belongs to a subquery. */
  readonly subquery?: boolean
  readonly inputs?: readonly PlanStep[]
}

/** A document of version 2, converted to the form of version 1. */
export interface PlanBlock {
  readonly query_block: {
    readonly using_filesort: boolean
    readonly tables: readonly TablePlan[]
    readonly subqueries: readonly PlanBlock[]
  }
}

/** The first step of a document of version 2; `undefined` for version 1. */
export function firstStepOf(document: unknown): PlanStep | undefined {
  return Object(document).query_plan
}

export function planBlockOf(step: PlanStep): PlanBlock {
  const tables: TablePlan[] = []
  const subqueries: PlanBlock[] = []
  let hasSort = false
  collect(step)
  return { query_block: { using_filesort: hasSort, tables, subqueries } }

  /** @param kept - how many rows a filter above the step is expected to keep */
  function collect(step: PlanStep, kept?: number): void {
    const { access_type: type, inputs = [] } = step
    if (type === 'sort') hasSort = true
    if (isTable(step)) tables.push(tableOf(step, kept))
    for (const input of inputs) {
      if (input.subquery || type === 'materialize') subqueries.push(planBlockOf(input))
      else collect(input, type === 'filter' ? step.estimated_rows : undefined)
    }
    // Fields such as `inputs_from_select_list` have subqueries that no step reads rows from.
    for (const [name, value] of Object.entries(step)) {
      if (name.startsWith('inputs_')) for (const input of value as PlanStep[]) subqueries.push(planBlockOf(input))
    }
  }
}

function isTable({ access_type: type, table_name: name }: PlanStep): boolean {
  return name !== undefined || type === 'rows_fetched_before_execution'
}

function tableOf(step: PlanStep, kept: number | undefined): TablePlan {
  const { table_name: name, alias = name, index_name: key, estimated_rows: rows } = step
  const filtered = kept !== undefined && rows ? Math.min(100, (kept / rows) * 100) : 100
  const table = { table_name: alias, access_type: accessOf(step), filtered }
  return {
    ...table,
    ...(key === undefined ? {} : { key }),
    ...(rows === undefined ? {} : { rows_examined_per_scan: rows }),
  }
}

function accessOf({ access_type: type, index_access_type: access = '' }: PlanStep): string {
  if (type === 'rows_fetched_before_execution') return 'const'
  if (type === 'table') return 'ALL'
  if (access === 'index_scan') return 'index'
  if (access === 'index_lookup') return 'ref'
  return access === 'index_range_scan' ? 'range' : access || (type ?? '')
}
