/** A table in the JSON of `explain`. */
export interface TablePlan {
  /** Absent for a row that was read before the query: version 2 of MySQL's JSON does not name its table. */
  readonly table_name?: string | undefined
  readonly access_type: string
  readonly key?: string
  /** How many rows the planner expects to read, in MariaDB. */
  readonly rows?: number
  /** The same in MySQL. */
  readonly rows_examined_per_scan?: number
  /** The percentage of these rows that the planner expects to match, in MariaDB and in version 1 of MySQL's JSON. */
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

/** The tables of a plan in the order in which they are read, and whether there is a sort, outside of subqueries. */
export interface FoundTables {
  readonly tables: TablePlan[]
  hasSort: boolean
}

/** The first step of a document of version 2; `undefined` for version 1. */
export function firstStepOf(document: unknown): PlanStep | undefined {
  return Object(document).query_plan
}

/** Collects the tables that the step and the steps below it read. */
export function collectSteps(step: PlanStep, found: FoundTables): void {
  const { access_type: type, inputs = [] } = step
  if (type === 'sort') found.hasSort = true
  if (step.table_name !== undefined || type === 'rows_fetched_before_execution') found.tables.push(tableOf(step))
  // The inputs are a subquery.
  if (type === 'materialize') return
  for (const input of inputs) if (!input.subquery) collectSteps(input, found)
}

function tableOf(step: PlanStep): TablePlan {
  const { table_name: name, alias = name, index_name: key, estimated_rows: rows } = step
  return {
    table_name: alias,
    access_type: accessOf(step),
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
