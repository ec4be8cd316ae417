import type { OperationNode } from 'kysely'
import { columnOf, type NamedTable } from './query-conditions.ts'
import type { TableIndex, TableIndexes } from './table-indexes.ts'

/** What an index must have to serve a query: the columns that are fixed to one value, then the keys in their order. */
interface IndexNeed {
  readonly fixed: readonly FixedColumn[]
  readonly keys: readonly IndexKey[]
}

export interface TableNeed extends IndexNeed {
  readonly table: NamedTable
}

/** A column that the query fixes to one value. */
export interface FixedColumn {
  readonly column: string
  readonly isNull: boolean
}

/** A key by which rows are ordered, or bounded. */
export interface IndexKey {
  readonly node: OperationNode
  readonly isDescending: boolean
  readonly nulls: 'first' | 'last'
}

/** Whether the node is a reference to the column. */
export function isColumn(node: OperationNode, column: string): boolean {
  return columnOf(node)?.column === column
}

/** The number of fixed columns at the head of the index; `undefined` if a fixed column is missing there. */
export function fixedPrefix({ columns, predicate = '' }: TableIndex, { fixed }: IndexNeed): number | undefined {
  const open = new Set(fixed.filter(({ column }) => !mentions(predicate, column)).map(({ column }) => column))
  let length = 0
  while (open.delete(columns[length]?.name ?? '')) length++
  return open.size === 0 ? length : undefined
}

/**
 * Whether the index holds the rows in the needed order: the fixed columns, then the keys, all in their direction or all
 * reversed.
 */
export function serves(index: TableIndex, need: IndexNeed): boolean {
  const prefix = fixedPrefix(index, need)
  if (prefix === undefined) return false
  const flips = new Set<boolean>()
  const inOrder = need.keys.every((key, at) => {
    const column = index.columns[prefix + at]
    if (column?.name === undefined || !isColumn(key.node, column.name)) return false
    flips.add(column.isDescending !== key.isDescending)
    if (column.hasNullsFirst !== undefined) flips.add(column.hasNullsFirst !== (key.nulls === 'first'))
    return true
  })
  return inOrder && flips.size <= 1
}

/** Whether the index surely holds all rows: if it is partial, the filters must include its condition. */
export function holdsAll({ predicate }: TableIndex, { fixed }: IndexNeed): boolean {
  if (predicate === undefined) return true
  return predicate.split(/\band\b/i).every((part) => {
    const column = /^(\S+) is null$/i.exec(part.replace(/[()"`[\]]/g, '').trim())?.[1]
    return fixed.some((one) => one.isNull && one.column === column)
  })
}

/** Whether the text of a condition names the column. */
export function mentions(condition: string, column: string): boolean {
  return new RegExp(`(?<![\\w$])${escapePattern(column)}(?![\\w$])`, 'iu').test(condition)
}

/** The source of a regular expression that matches the text. */
export function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** InnoDB's limit for the bytes of a key. */
export const maxKeyBytes = 3_072

/** The column with which the needed index becomes too wide for the database. */
export function unindexable({ widths }: TableIndexes, { fixed, keys }: IndexNeed): string | undefined {
  const names = new Set([...fixed.map(({ column }) => column), ...keys.map(({ node }) => columnOf(node)?.column)])
  let bytes = 0
  for (const name of names) {
    bytes += widths?.get(name ?? '') ?? 0
    if (bytes > maxKeyBytes) return name
  }
  return undefined
}
