import type { CompiledQuery, OperationNode } from 'kysely'
import { type Comparison, walk } from './query-comparison.ts'
import { describeQuery } from './query-shape.ts'
import type { NPlusOne } from './types.ts'

/** What to write instead of the repeated query, in Kysely. */
export function suggestionFor(
  kind: NPlusOne['kind'],
  { query, sql }: CompiledQuery,
  varying: readonly Comparison[],
): string {
  const { operation, tables, writes } = describeQuery(query, sql)
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
      return `Update all rows at once: db.updateTable('${table}').set(…)${condition}.execute()`
    case 'delete':
      return `Delete all rows at once: db.deleteFrom('${table}')${condition}.execute()`
    case 'select':
      return `Load all rows at once: db.selectFrom('${table}')${selection(query)}${condition}.execute()${grouping(varying)}`
    default:
      return 'Do it for all the values in one statement.'
  }
}

function inCondition(varying: readonly Comparison[]): string {
  const [first, ...others] = varying.map(({ column }) => column)
  if (first === undefined) return '.where(…)'
  if (others.length === 0) return `.where('${first}', 'in', ${plural(first)})`
  const columns = [first, ...others].map((column) => `'${column}'`).join(', ')
  return `.where((eb) => eb(eb.refTuple(${columns}), 'in', tuples.map((tuple) => eb.tuple(...tuple))))`
}

function grouping(varying: readonly Comparison[]): string {
  const [only, second] = varying
  if (only === undefined || second !== undefined) return ''
  return `, then Map.groupBy(rows, (row) => row.${only.column})`
}

function selection(query: OperationNode): string {
  const columns: string[] = []
  let plain = true
  walk((query as { readonly selections?: readonly OperationNode[] }).selections, (node) => {
    if (node.kind === 'ColumnNode') columns.push((node as unknown as { column: { name: string } }).column.name)
    plain &&= plainKinds.has(node.kind)
  })
  if (!plain || columns.length === 0) return '.selectAll()'
  return `.select([${columns.map((column) => `'${column}'`).join(', ')}])`
}

/** What the selection of columns by their names is made of. */
const plainKinds = new Set([
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
