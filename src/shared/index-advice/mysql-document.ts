import { collectSteps, type FoundTables, firstStepOf, type TablePlan } from './mysql-plan-tree.ts'

export type { TablePlan } from './mysql-plan-tree.ts'

/**
 * Reads the JSON of `explain`. MariaDB does not escape the values of conditions in it, so a text that a client searched
 * for may contain quotes, tabs or line ends.
 *
 * @returns `undefined` if it is not JSON even after its texts are escaped
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

/** A text ends at a quote that is followed by a comma or nothing, then a line end, then the next property or a bracket. */
const unescapedText = /^(\s*"[\w ]+": )"([\s\S]*?)"(?=,?\n\s*(?:"[\w ]+":|[{}[\]]))/gm

/** Finds the tables in the JSON of MariaDB, or of MySQL in either version. */
export function findTables(document: unknown): FoundTables {
  const found: FoundTables = { tables: [], hasSort: false }
  const step = firstStepOf(document)
  if (step === undefined) collectTables(document, found)
  else collectSteps(step, found)
  return found
}

function collectTables(node: unknown, found: FoundTables): void {
  if (typeof node !== 'object' || node === null) return
  if ('table_name' in node) found.tables.push(node as TablePlan)
  for (const [name, value] of Object.entries(node)) {
    if (/subquer/.test(name)) continue
    if (name === 'filesort' || ((name === 'using_filesort' || name === 'using_temporary_table') && value === true))
      found.hasSort = true
    collectTables(value, found)
  }
}

/** Finds the tables of each subquery in the JSON of MariaDB, including subqueries of subqueries. */
export function findSubqueries(node: unknown): TablePlan[][] {
  if (typeof node !== 'object' || node === null) return []
  return Object.entries(node).flatMap(([name, value]) => {
    const below = findSubqueries(value)
    return /subquer/.test(name) ? [findTables(value).tables, ...below] : below
  })
}
