/** A table in the JSON of `explain`. */
export interface TablePlan {
  readonly table_name: string
  readonly access_type: string
  readonly key?: string
  readonly rows?: number
  readonly rows_examined_per_scan?: number
  /** The share of them that the planner expects to match, in percent. */
  readonly filtered?: number | string
  readonly r_rows?: number | null
  readonly r_loops?: number
}

/**
 * Reads the JSON of `explain`. MariaDB does not escape the values of conditions in it, so a text that a client searched for may
 * hold quotes, tabs or line ends.
 *
 * @returns `undefined` for what is no document even with its texts escaped
 */
export function parseMysqlDocument(plan: unknown): unknown {
  if (typeof plan !== 'string') return plan
  try {
    return JSON.parse(plan)
  } catch {}
  try {
    return JSON.parse(
      plan.replaceAll(unescapedText, (_all, start: string, text: string) => start + JSON.stringify(text)),
    )
  } catch {
    return undefined
  }
}

/** A text ends where a comma or nothing, a line end and the next property or bracket follow. */
const unescapedText = /^(\s*"[\w ]+": )"([\s\S]*?)"(?=,?\n\s*(?:"[\w ]+":|[{}[\]]))/gm

/** Finds the tables and whether there is a sort, outside of subqueries. */
export function findTables(
  node: unknown,
  found: { tables: TablePlan[]; hasSort: boolean } = { tables: [], hasSort: false },
): typeof found {
  if (typeof node !== 'object' || node === null) return found
  if ('table_name' in node) found.tables.push(node as TablePlan)
  for (const [name, value] of Object.entries(node)) {
    if (/subquer/.test(name)) continue
    if (name === 'filesort' || ((name === 'using_filesort' || name === 'using_temporary_table') && value === true))
      found.hasSort = true
    findTables(value, found)
  }
  return found
}

/** Finds the tables of each subquery, of those in other subqueries too. */
export function findSubqueries(node: unknown): TablePlan[][] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([name, value]) => {
    const below = findSubqueries(value)
    return /subquer/.test(name) ? [findTables(value).tables, ...below] : below
  })
}
