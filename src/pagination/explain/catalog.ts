import { AliasNode, IdentifierNode, type OperationNode, ParensNode, SelectionNode, SelectQueryNode } from 'kysely'
import { indexesOf, type TableIndexes } from '../../shared/index-advice/table-indexes.ts'
import type { QueryRunner, Row } from '../seek/query-runner.ts'
import { limitNode } from '../seek/sql-nodes.ts'
import type { PageShape } from './page-shape.ts'

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
