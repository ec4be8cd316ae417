import { AliasNode, IdentifierNode, type OperationNode, ParensNode, SelectionNode, SelectQueryNode } from 'kysely'
import { indexesOf, type TableIndexes } from '../../shared/index-advice/table-indexes.ts'
import type { QueryRunner, Row } from '../seek/query-runner.ts'
import { limitNode } from '../seek/sql-nodes.ts'
import type { PageShape } from './page-shape.ts'

/** How the database reads a page: `'seek'` its own rows only, `'scan'` other rows too, `'sort'` the whole list first. */
export type Access = 'seek' | 'scan' | 'sort'

/** The findings in the plan of a page's statement. */
export interface PlanReading {
  readonly access: Access
  /** The plan as the database writes it. */
  readonly plan: string
  /** From the database's own counters, if they were asked for. */
  readonly rowsRead?: number | undefined
  /** Whether the plan does not read the table: it may be a view, or the planner knows that there are no rows. */
  readonly isTableAbsent: boolean
  /** A joined table that is read whole, because it has no fitting index. */
  readonly slowLookup?: string | undefined
  /** An index that fits the page, though the planner does not use it. */
  readonly unusedIndex?: string | undefined
  /** The column because of which the database would refuse the index that the page needs. */
  readonly unindexable?: string | undefined
  /**
   * Whether the table is read in the page's order, and the filters keep so many rows that another index would not pay
   * off.
   */
  readonly keepsMostRows?: boolean | undefined
}

/** If the filters keep at least this share of the rows, a planner skips the others instead of using another index. */
export const mostRows = 0.4

/** Up to this size, planners read a table whole, whatever its indexes. */
export const smallTableBytes = 1_048_576

/** Up to this number of rows from the right index, planners may sort them instead of reading them in its order. */
export const fewRows = 250

/** Reads rows of the database's catalog, through the executor of the explained query. */
export function catalogQuery(runner: QueryRunner, query: OperationNode): Promise<Row[]> {
  const from = AliasNode.create(ParensNode.create(query), IdentifierNode.create('phc'))
  const selections = [SelectionNode.createSelectAll()]
  // Without a limit, the session's `sql_select_limit` on MySQL would leave out rows.
  return runner.rows(() => ({ ...SelectQueryNode.createFrom([from]), selections, limit: limitNode(1_000_000) }))
}

/** The indexes of the table that the page is read from. */
export async function drivingIndexes({ driving }: PageShape, runner: QueryRunner): Promise<TableIndexes> {
  if (driving === undefined) return { indexes: [], bytes: Infinity }
  return await indexesOf(runner.dialect, driving.table, (query) => catalogQuery(runner, query))
}
