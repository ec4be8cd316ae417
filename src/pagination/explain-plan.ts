import { isColumn, type PageShape } from './advice.ts'
import { escapePattern } from './fields-pattern.ts'

/** How a page comes about: `'seek'` reads its rows alone, `'scan'` others too, `'sort'` all of them before the first. */
export type Access = 'seek' | 'scan' | 'sort'

/** What the plan of a page's statement says. */
export interface PlanReading {
  readonly access: Access
  /** The plan as text, in the engine's own words. */
  readonly plan: string
  /** By the engine's own counters, where it was asked for them. */
  readonly rowsRead?: number | undefined
  /** The plan does not read the table: it is a view, or there is nothing to read. */
  readonly absent: boolean
  /** A joined table that is read whole for want of an index. */
  readonly slowLookup?: string | undefined
  /** An index that serves the page, which the planner does not take. */
  readonly unused?: string | undefined
}

/** A column of an index; it has no name where it is an expression. */
export interface CatalogColumn {
  readonly name: string | undefined
  readonly descending: boolean
  readonly nullsFirst?: boolean
}

/** An index as the catalog describes it. */
export interface CatalogIndex {
  readonly name: string
  readonly columns: readonly CatalogColumn[]
  /** The condition of a partial index. */
  readonly predicate?: string | undefined
}

/** A table so small that planners read it whole whatever its indexes, in bytes. */
export const smallTable = 1_048_576

/** So few rows of the right index that planners may rather sort them than read them in its order. */
export const fewRows = 250

/** Whether the index has the fixed columns at its head, and how many. */
export function fixedPrefix({ columns, predicate = '' }: CatalogIndex, { fixed }: PageShape): number | undefined {
  const open = new Set(fixed.filter(({ column }) => !mentions(predicate, column)).map(({ column }) => column))
  let length = 0
  while (open.delete(columns[length]?.name ?? '')) length++
  return open.size === 0 ? length : undefined
}

/** Whether a page can be read from the index in its order: the fixed columns, then the keys, all the one way or all the other. */
export function serves(index: CatalogIndex, shape: PageShape): boolean {
  const prefix = fixedPrefix(index, shape)
  if (prefix === undefined) return false
  const flips = new Set<boolean>()
  const inOrder = shape.keys.every((key, at) => {
    const column = index.columns[prefix + at]
    if (column?.name === undefined || !isColumn(key.node, column.name)) return false
    flips.add(column.descending !== key.descending)
    if (column.nullsFirst !== undefined) flips.add(column.nullsFirst !== (key.nulls === 'first'))
    return true
  })
  return inOrder && flips.size <= 1
}

/** Whether the filters alone show that a partial index has all rows of the page: that its condition is one of them. */
export function holdsAll({ predicate }: CatalogIndex, { fixed }: PageShape): boolean {
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
