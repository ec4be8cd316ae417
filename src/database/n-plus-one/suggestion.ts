import type { CompiledQuery, RootOperationNode } from 'kysely'
import type { NamedColumn } from '../../shared/index-advice/query-conditions.ts'
import { walkQuery } from '../../shared/sql/query-tree.ts'
import type { QueryShape } from '../fingerprint/query-shape.ts'
import type { NPlusOne } from '../types.ts'

/** Suggests Kysely code that replaces the repeated query. */
export function suggestionFor(
  kind: NPlusOne['kind'],
  { query }: CompiledQuery,
  { operation, tables, writes }: QueryShape,
  varying: readonly NamedColumn[],
): string {
  if (kind === 'duplicate') {
    return 'Run it once and pass the result on, or load it through `cachedQuery(cache, query)`.'
  }
  const table = writes[0] ?? tables[0]
  if (table === undefined) return 'Ask for all the values in one statement, and group its rows in memory.'
  const condition = inCondition(varying)
  switch (operation) {
    case 'insert':
      return `Insert all rows at once: db.insertInto('${table}').values(rows).execute()`
    case 'update':
      return `Update all rows at once: db.updateTable('${table}').set(…).${condition}.execute()`
    case 'delete':
      return `Delete all rows at once: db.deleteFrom('${table}').${condition}.execute()`
    case 'select':
      // A column of another table, or of one that has an alias.
      if (tables.length > 1 && varying.some((column) => (column.table ?? table) !== table)) {
        return `Load all rows at once: the same query with ${inCondition(varying, true)}${grouping(varying)}`
      }
      return `Load all rows at once: db.selectFrom('${table}')${selection(query)}.${condition}.execute()${grouping(varying)}`
    default:
      return 'Do it for all the values in one statement.'
  }
}

function inCondition(varying: readonly NamedColumn[], isQualified = false): string {
  const [first, ...others] = varying
  if (first === undefined) return 'where(…)'
  const names = varying.map(({ table, column }) =>
    isQualified && table !== undefined ? `'${table}.${column}'` : `'${column}'`,
  )
  if (others.length === 0) return `where(${names[0]}, 'in', ${plural(first.column)})`
  const columns = names.join(', ')
  return `where((eb) => eb(eb.refTuple(${columns}), 'in', tuples.map((tuple) => eb.tuple(...tuple))))`
}

function grouping(varying: readonly NamedColumn[]): string {
  const [only, second] = varying
  if (only === undefined || second !== undefined) return ''
  return `, then Map.groupBy(rows, (row) => row.${only.column})`
}

function selection(query: RootOperationNode): string {
  const columns: string[] = []
  let hasPlainColumnsOnly = true
  walkQuery('selections' in query ? (query.selections ?? []) : [], (node) => {
    if (node.kind === 'ColumnNode') columns.push((node.column as { readonly name: string }).name)
    hasPlainColumnsOnly &&= plainColumnKinds.has(node.kind)
    return true
  })
  if (!hasPlainColumnsOnly || columns.length === 0) return '.selectAll()'
  return `.select([${columns.map((column) => `'${column}'`).join(', ')}])`
}

/** The nodes of a selection of columns by name. */
const plainColumnKinds = new Set([
  'SelectionNode',
  'ReferenceNode',
  'ColumnNode',
  'IdentifierNode',
  'SchemableIdentifierNode',
  'TableNode',
])

function plural(column: string): string {
  return `${column.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())}s`
}
