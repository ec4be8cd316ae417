import { type OperationNode, ReferenceNode } from 'kysely'
import type { SqlDialect } from '../../shared/sql/dialect.ts'
import { CursorUnstableError, KeyNotUniqueError, KeyNullError, QueryUnsupportedError } from '../errors.ts'
import type { Position } from '../key-text/key-text.ts'
import { refuseOtherTypes } from '../key-text/postgres.ts'
import { hasNoBinaryForm, isAmbiguous, returnsSetOfRows } from './data-errors.ts'
import {
  hasUnknownLabels,
  haveSameKeys,
  isCursorRow,
  isUnsteady,
  keyOfCutTexts,
  unexpectedNull,
  unexpectedNullAhead,
} from './hidden-columns.ts'
import { keyOfOtherZone } from './mysql-keys.ts'
import type { Row } from './query-runner.ts'
import { describeKey, listKeys, type OrderKey, type ResolvedQuery } from './sort-keys.ts'
import { columnName } from './sql-nodes.ts'

/**
 * Only the first row may be the cursor's own, and neighbours must differ in a key. Otherwise rows would be lost or repeated
 * at an end of the page.
 *
 * @throws CursorUnstableError for keys that do not keep their place in the order
 * @throws KeyNotUniqueError for rows with the same keys
 * @throws KeyNullError or CursorMismatchError for keys that are not what they were taken for
 */
export function refuseDoubts(
  rows: readonly Row[],
  { resolved: { keys }, position }: { readonly resolved: ResolvedQuery; readonly position: Position | undefined },
  dialect: SqlDialect,
  startsAtCursor: boolean,
): void {
  refuseNull(unexpectedNullAhead(rows[0], keys) ?? unexpectedNull(rows, keys, dialect))
  if (position !== undefined && dialect === 'mysql') refuseOtherZone(rows[0], position, keys)
  if (position !== undefined && dialect === 'postgres') refuseOtherTypes(rows[0]?.posthastek0, position)
  for (const row of rows) {
    if (isUnsteady(row) || (dialect === 'mysql' && hasUnknownLabels(row, keys))) throw unstable(keys)
  }
  for (let at = 1; at < rows.length; at++) {
    const [before, row] = [rows[at - 1] as Row, rows[at] as Row]
    if (haveSameKeys(before, row, keys, dialect) || (startsAtCursor && isCursorRow(row))) {
      throw new KeyNotUniqueError(
        `Rows share the same ${listKeys(keys.filter((key) => key.isUnique))}: give \`unique\` a key, or keys, that tell all rows of the query apart`,
      )
    }
    if (isCursorRow(row)) throw unstable(keys)
    const cut = dialect === 'mysql' ? keyOfCutTexts(before, row, keys) : undefined
    if (cut !== undefined) {
      throw new CursorUnstableError(
        `${describeKey(cut)} has long texts that differ only in what a sort ignores: raise \`max_sort_length\`, or page by the beginning of the text`,
      )
    }
  }
}

export function unstable(keys: readonly OrderKey[]): CursorUnstableError {
  return new CursorUnstableError(
    `A cursor by ${listKeys(keys)} does not find its place again: the database sorts one of ` +
      'them otherwise than it compares it, or its value changes between statements. Page by other keys, or by a cast of them',
  )
}

/** @throws CursorUnstableError for a key that may depend on the session's time zone, if the zone has changed */
export function refuseOtherZone(row: Row | undefined, position: Position, keys: readonly OrderKey[]): void {
  const key = keyOfOtherZone(row, position, keys)
  if (key === undefined) return
  throw new CursorUnstableError(
    `${describeKey(key)} may depend on the time zone of the session, which is not that of the cursor: set one zone on all connections, or page by columns of tables`,
  )
}

/** @throws KeyNullError if there is a key that is NULL unexpectedly */
export function refuseNull(key: OrderKey | undefined): void {
  if (key === undefined) return
  throw new KeyNullError(
    `${describeKey(key)} is NULL in some row: say where such rows come, as in \`{ key: 'name', nulls: 'last' }\``,
  )
}

/**
 * @param error - what the database answered
 * @throws QueryUnsupportedError when the cause is a key that no page can be read by
 */
export function refuseKeyOf(error: unknown, keys: readonly OrderKey[]): void {
  const reason = reasonIn(error, keys)
  if (reason !== undefined) throw new QueryUnsupportedError(reason, { cause: error })
}

function reasonIn(error: unknown, keys: readonly OrderKey[]): string | undefined {
  if (returnsSetOfRows(error)) {
    return 'A key has several values for one row: call its function in a sub-query, and page by the column of that'
  }
  if (hasNoBinaryForm(error)) {
    return `A cursor cannot hold one of the keys ${listKeys(keys)}: page by a cast of it (${error.message})`
  }
  // In `select users.* … order by id`, `id` means the selected column, even if another table has an `id` too. A page also
  // has a condition on `id`, where the name is ambiguous.
  const key = isAmbiguous(error) ? keys.find(({ node }) => isBareIn(error.message, node)) : undefined
  return (
    key && `${describeKey(key)} is a column of several tables of the query: write it with its table, as in \`users.id\``
  )
}

function isBareIn(message: string, node: OperationNode): boolean {
  return ReferenceNode.is(node) && node.table === undefined && message.includes(columnName(node) as string)
}
