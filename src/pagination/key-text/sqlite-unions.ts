import type { OperationNode, SelectQueryNode } from 'kysely'
import type { Position } from '../cursor.ts'
import { isTrue, type Row } from '../seek/query-runner.ts'
import type { OrderKey, ResolvedQuery } from '../seek/sort-keys.ts'
import { raw } from '../seek/sql-nodes.ts'
import { type Expressions, isRaw, sourcesOf, withExpressions } from './query-sources.ts'

// SQLite converts a value to the type of the column that it is compared with: `5` to `'5'`, or `'5'` to `5`. A table
// loses no row by that, because its column has no values of the other type. A union may have both, but SQLite moves a
// condition on its rows to each of its tables. A `+` before the column prevents the conversion, but also the use of an
// index.

/** Whether the query reads from a union, or may do so in raw SQL. */
function readsUnion(query: SelectQueryNode, outer: Expressions = new Map()): boolean {
  if (query.setOperations !== undefined) return true
  return sourcesOf(query, withExpressions(query, outer, true)).some(
    (source) => isRaw(source) || (source.query !== undefined && readsUnion(source.query, source.expressions)),
  )
}

/**
 * Marks the keys of a union. Only the first key can use an index. So we assume that it has values of one type until a row
 * shows otherwise; the other keys are compared as having several.
 */
export function withUnionKeys(resolved: ResolvedQuery): ResolvedQuery {
  if (!readsUnion(resolved.node)) return resolved
  const keys = resolved.keys.map((key, at): OrderKey => ({ ...key, typesInUnion: at === 0 ? 'one' : 'several' }))
  return { ...resolved, keys }
}

/** Whether rows may be lost behind the position, because the first key may have values of several types. */
export function mayBeMixed([first]: readonly OrderKey[], position: Position): boolean {
  return first?.typesInUnion === 'one' && /^[-\dI]/.test(position[0] ?? '')
}

/**
 * The condition that finds values that a comparison with a number would lose: texts, and numbers in a column declared as
 * text. Each half is a range of an index.
 */
export function isNoNumber({ sql }: OrderKey): OperationNode {
  return raw`(${sql} >= '' or ${sql} < -9e999)`
}

/** Whether the row shows that the first key has values of several types. */
export function showsMixedTypes(row: Row | undefined): boolean {
  return row !== undefined && isTrue(row.posthastem0)
}

/** The key as it is compared with the text of a cursor. */
export function comparable(key: OrderKey, text: string): OrderKey {
  const { typesInUnion, sql } = key
  const keepsValue = typesInUnion === 'one' && !numericText.test(text)
  return typesInUnion === undefined || keepsValue ? key : { ...key, sql: raw`+${sql}` }
}

/** What a text that may look like a number begins with: of bytes in UTF-16, that is not known. */
const numericText = /^(?:w|t\s*[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?\s*$)/i

/**
 * Whether a key may be an integer beyond 2^53 that was rounded. If the first query of the union has a REAL column there,
 * SQLite sorts by the rounded number, but compares the integer.
 */
export function mayBeRounded(position: Position, keys: readonly OrderKey[]): boolean {
  return keys.some(({ typesInUnion }, at) => {
    const text = position[at] ?? ''
    if (typesInUnion === undefined || !/^-?\d+(?:\.|e)/.test(text)) return false
    const size = Math.abs(Number(text))
    return size >= 2 ** 53 && size <= 2 ** 63
  })
}
