import {
  AliasNode,
  IdentifierNode,
  type OperationNode,
  ParensNode,
  SelectionNode,
  SelectQueryNode,
  type TableNode,
} from 'kysely'
import type { CatalogColumn } from './explain-plan.ts'
import type { Row, Source } from './source.ts'

/** The rows of a query over the catalog, through the executor of the query that is explained. */
export function catalogQuery(source: Source, query: OperationNode): Promise<Row[]> {
  const from = AliasNode.create(ParensNode.create(query), IdentifierNode.create('phc'))
  return source.run(() =>
    SelectQueryNode.cloneWithSelections(SelectQueryNode.createFrom([from]), [SelectionNode.createSelectAll()]),
  )
}

/** Schema and name of a table. */
export function tableParts({ table }: TableNode): { schema: string | undefined; name: string } {
  return { schema: table.schema?.name, name: table.identifier.name }
}

/** Rows of the catalog, one a column (`name` of the index, place `at`), as one a index. */
export function byIndex(
  rows: readonly Row[],
  columnOf: (row: Row) => CatalogColumn,
): { name: string; columns: CatalogColumn[]; first: Row }[] {
  const sorted = rows.toSorted((a, b) => Number(a.at) - Number(b.at))
  return [...Map.groupBy(sorted, (row) => row.name as string)].map(([name, own]) => {
    return { name, columns: own.map(columnOf), first: own[0] as Row }
  })
}
