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
    default:
      return `Load all rows at once: db.selectFrom('${table}')${selection(query)}${condition}.execute()${grouping(varying)}`
  }
}

function inCondition(varying: readonly Comparison[]): string {
  const [first, second] = varying.map(({ column }) => column)
  if (first === undefined) return '.where(…)'
  if (second === undefined) return `.where('${first}', 'in', ${plural(first)})`
  return `.where((eb) => eb(eb.refTuple('${first}', '${second}'), 'in', pairs.map((pair) => eb.tuple(...pair))))`
}

function grouping(varying: readonly Comparison[]): string {
  const [only, second] = varying
  if (only === undefined || second !== undefined) return ''
  return `, then Map.groupBy(rows, (row) => row.${only.column})`
}

function selection(query: OperationNode): string {
  const columns: string[] = []
  let plain = true
  if (query.kind === 'SelectQueryNode') {
    for (const item of (query as { selections?: readonly OperationNode[] }).selections ?? []) {
      const names: string[] = []
      walk(item, (node) => {
        if (node.kind === 'ColumnNode') names.push((node as unknown as { column: { name: string } }).column.name)
        if (node.kind !== 'SelectionNode' && node.kind !== 'ReferenceNode' && node.kind !== 'ColumnNode') {
          plain &&=
            node.kind === 'IdentifierNode' || node.kind === 'SchemableIdentifierNode' || node.kind === 'TableNode'
        }
      })
      columns.push(...names)
    }
  }
  if (!plain || columns.length === 0) return '.selectAll()'
  return `.select([${columns.map((column) => `'${column}'`).join(', ')}])`
}

function plural(column: string): string {
  return `${column.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())}s`
}
