import { type OperationNode, ReferenceNode } from 'kysely'
import type { Position } from '../cursor.ts'
import { QueryUnsupportedError } from '../errors.ts'
import { describeKey, listKeys, type OrderKey } from './sort-keys.ts'
import { columnName } from './sql-nodes.ts'

/**
 * Whether the database may have failed to read a parameter, so that the cursor may be the cause. Errors of the
 * connection, a lock or a constraint do not count.
 */
export function isDataError(error: unknown): boolean {
  const { code, errno, number } = Object(error) as { code?: unknown; errno?: unknown; number?: unknown }
  if (typeof code === 'string' && postgresErrors.test(code)) return true
  // PGlite itself reads booleans and bytes, and throws this.
  if (error instanceof Error && /^Invalid input for \w+ type$/.test(error.message)) return true
  return mysqlErrors.includes(errno as number) || mssqlErrors.includes(number as number)
}

/** Whether the database cannot tell which table a column belongs to. */
export function isAmbiguous(error: unknown): error is Error {
  const { code, errno, number, message } = Object(error) as { [field: string]: unknown }
  return code === '42702' || errno === 1052 || number === 209 || /^ambiguous column name\b/i.test(String(message))
}

/** Whether the transaction of PostgreSQL was aborted by an earlier error. */
export function isAborted(error: unknown): boolean {
  return Object(error).code === '25P02'
}

/**
 * Whether PostgreSQL's error itself shows that the cursor is the cause: it quotes the text of a key, in the quotation marks of
 * the server's language, or it says that no operator compares the key with a value of the cursor's type. (If the query itself
 * lacked an operator, it would have no first page.)
 */
export function namesCursor(error: unknown, position: Position): boolean {
  const { message, routine } = Object(error) as { message?: unknown; routine?: unknown }
  const isQuoted = (text: string) => text.includes('\0') || (text !== '' && quotes(String(message), text))
  return routine === 'op_error' || position.some((key) => key !== null && isQuoted(key.slice(key.indexOf(':') + 1)))
}

function quotes(message: string, text: string): boolean {
  const parts = message.split(text)
  return parts.some((part, at) => at > 0 && quoteAtEnd.test(parts[at - 1] as string) && quoteAtStart.test(part))
}

const quoteAtEnd = /\p{Quotation_Mark}\s*$/u
const quoteAtStart = /^\s*\p{Quotation_Mark}/u

/**
 * Whether PostgreSQL refuses an expression because it calls a user-defined set-returning function. The SQL does not show
 * that.
 */
export function returnsSetOfRows(error: unknown): boolean {
  const { code, routine } = Object(error) as { code?: unknown; routine?: unknown }
  return (
    code === '0A000' && /^(?:transformCase|transformCoalesce)Expr$|^check_srf_call_placement$/.test(String(routine))
  )
}

/** Whether PostgreSQL has no binary form for the type of a key, or for a type inside it. */
export function hasNoBinaryForm(error: unknown): error is Error {
  return ['getTypeBinaryOutputInfo', 'array_send', 'get_range_io_data'].includes(Object(error).routine)
}

/** Whether SQLite's FTS5 took `rank = ?` for the choice of a ranking function. It does not do so with `+rank = ?`. */
export function isRankOfFts5(error: unknown): boolean {
  return /\brank function\b/.test(String(error))
}

/** Data exceptions; no operator or several for the types; no cast; the syntax of a tsquery or tsvector. */
const postgresErrors = /^(22...|42601|42725|42883|42804|42846)$/

/** Truncated or incorrect values, out of range, no common collation. */
const mysqlErrors: readonly number[] = [1264, 1267, 1292, 1366, 1411, 1525, 1690, 3854]

/** Conversions that failed or overflowed. */
const mssqlErrors: readonly number[] = [220, 241, 242, 245, 248, 295, 8114, 8115, 8169]

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
