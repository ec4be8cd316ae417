import { expectOneOf } from '../shared/arguments.ts'
import type { SqlDialect } from '../shared/sql/statement.ts'
import {
  driverErrors,
  type ErrorKind,
  messages,
  mssqlErrors,
  mysqlErrors,
  postgresErrors,
  sqliteErrors,
  sqliteNames,
} from './error-kinds.ts'
import { CommitAmbiguousError, PoolTimeoutError, QueryTimeoutError } from './errors.ts'

/** The kind of an error, and what a caller may retry. */
export interface ErrorClass {
  readonly kind: ErrorKind
  /**
   * `'transaction'`: retry the whole transaction, from its start. `'statement-if-idempotent'`: the connection was lost, and a
   * write may have been applied. `'after-delay'`: nothing has run, because the server is not ready. `'no'`: it would fail
   * again, or it is unknown whether it was applied.
   */
  readonly retry: 'transaction' | 'statement-if-idempotent' | 'after-delay' | 'no'
}

/**
 * Classifies a database error. Codes depend on the dialect: error 1205 is a lock timeout in MySQL, and a deadlock in SQL
 * Server. Without a `dialect`, it is guessed from the fields of the error.
 *
 * @param error - thrown by `pg`, `postgres`, `mysql2`, `better-sqlite3`, `node:sqlite`, `tedious`, a pool, a pooler or a proxy
 *   before the database; also as the `cause` of another error
 * @throws TypeError when the dialect is unknown
 * @see PostgreSQL, appendix A; MySQL 8.4, B.3.1; sqlite.org/rescode.html; SQL Server, "Database engine events and errors"
 */
export function classifyError(error: unknown, dialect?: SqlDialect): ErrorClass {
  if (dialect !== undefined) expectOneOf(dialect, 'dialect', ['postgres', 'mysql', 'sqlite', 'mssql'])
  const kinds = chainOf(error).map((one) => kindOf(one, dialect))
  // Whatever else has failed, what may have been committed must not run again.
  if (kinds.includes('ambiguous-commit')) return classes['ambiguous-commit']
  return classes[kinds.find((kind) => kind !== 'other') ?? 'other']
}

const maxChain = 20

/**
 * The error, its causes, and the errors that it collects. An error that collects others comes last, because they say
 * more.
 */
function chainOf(error: unknown): unknown[] {
  const chain = [error]
  for (let index = 0; index < chain.length && chain.length < maxChain; index += 1) {
    const { cause, errors } = Object(chain[index]) as { readonly cause?: unknown; readonly errors?: unknown }
    const further = [cause, ...(Array.isArray(errors) ? errors : [])]
    chain.push(...further.filter((one) => one != null && !chain.includes(one)))
  }
  return chain.sort((one, other) => Number(collectsErrors(one)) - Number(collectsErrors(other)))
}

function collectsErrors(error: unknown): boolean {
  return Array.isArray((Object(error) as { readonly errors?: unknown }).errors)
}

function kindOf(error: unknown, dialect: SqlDialect | undefined): ErrorKind {
  if (error instanceof CommitAmbiguousError) return 'ambiguous-commit'
  if (error instanceof QueryTimeoutError) return 'timeout'
  if (error instanceof PoolTimeoutError) return 'too-many-connections'
  const fields = fieldsOf(error)
  const { code, message, syscall } = fields
  const byDialect = kindIn(dialect ?? guessDialect(fields), fields)
  if (byDialect !== undefined) return byDialect
  const byMessage = messages.find(([pattern]) => pattern.test(message))?.[1]
  const byCode = driverErrors[code]
  // No connection was made, so nothing has run. `ENOENT` is a missing socket file.
  if (syscall === 'connect' && (byCode !== undefined || code === 'ENOENT')) return 'unavailable'
  // These codes may come from a query or from connecting. The message tells which.
  if ((code === 'ETIMEOUT' || code === 'ECONNRESET') && byMessage !== undefined) return byMessage
  return byCode ?? byMessage ?? 'other'
}

const classes: { readonly [Kind in ErrorKind]: ErrorClass & { readonly kind: Kind } } = {
  serialization: { kind: 'serialization', retry: 'transaction' },
  deadlock: { kind: 'deadlock', retry: 'transaction' },
  'lock-timeout': { kind: 'lock-timeout', retry: 'transaction' },
  busy: { kind: 'busy', retry: 'transaction' },
  connection: { kind: 'connection', retry: 'statement-if-idempotent' },
  unavailable: { kind: 'unavailable', retry: 'after-delay' },
  'too-many-connections': { kind: 'too-many-connections', retry: 'after-delay' },
  timeout: { kind: 'timeout', retry: 'no' },
  'read-only': { kind: 'read-only', retry: 'after-delay' },
  'stale-plan': { kind: 'stale-plan', retry: 'transaction' },
  'ambiguous-commit': { kind: 'ambiguous-commit', retry: 'no' },
  other: { kind: 'other', retry: 'no' },
}

interface Fields {
  readonly code: string
  readonly message: string
  readonly number: number
  readonly sqliteCode: number
  readonly hasSeverity: boolean
  readonly hasSqlState: boolean
  readonly syscall: unknown
  /** The function of PostgreSQL that failed. */
  readonly routine: unknown
}

function fieldsOf(error: unknown): Fields {
  const { code, message, errno, number, errcode, severity, sqlState, syscall, routine } = Object(error) as Record<
    string,
    unknown
  >
  return {
    code: typeof code === 'string' ? code : '',
    message: typeof message === 'string' ? message : '',
    number: [number, errno, serverNumber(code)].find((one) => typeof one === 'number') ?? 0,
    sqliteCode: typeof errcode === 'number' ? errcode & 0xff : 0,
    hasSeverity: severity !== undefined,
    hasSqlState: sqlState !== undefined,
    syscall,
    routine,
  }
}

/**
 * When the server closes an idle connection, `mysql2` puts the error's number into `code`. Numbers below 1000 are codes
 * of gRPC and the DOM.
 */
function serverNumber(code: unknown): number | undefined {
  return typeof code === 'number' && code >= 1_000 ? code : undefined
}

function guessDialect({ code, number, sqliteCode, hasSeverity, hasSqlState }: Fields): SqlDialect | undefined {
  if (sqliteCode > 0 || code.startsWith('SQLITE_')) return 'sqlite'
  if (hasSqlState || code.startsWith('ER_') || code.startsWith('PROTOCOL_')) return 'mysql'
  if (code === 'EREQUEST' || code === 'ESOCKET' || code === 'ECONNCLOSED') return 'mssql'
  if (hasSeverity || /^[0-9A-Z]{5}$/.test(code)) return 'postgres'
  return number > 0 ? 'mysql' : undefined
}

function kindIn(
  dialect: SqlDialect | undefined,
  { code, message, number, sqliteCode, routine }: Fields,
): ErrorKind | undefined {
  switch (dialect) {
    case 'postgres':
      // This code has other causes too. Only for this one does it help to prepare the statement again. The message may be in
      // the language of the server.
      if (code === '0A000' && (routine === 'RevalidateCachedQuery' || message.includes('cached plan')))
        return 'stale-plan'
      return postgresErrors[code]
    case 'mysql':
      // Many options of the server forbid a statement with this number. Most make the server read-only, these two do not.
      if (number === 1290) return /secure.file.priv|skip.grant/i.test(message) ? 'other' : 'read-only'
      return mysqlErrors[number]
    case 'mssql':
      return mssqlErrors[number]
    case 'sqlite':
      return sqliteErrors[sqliteCode] ?? sqliteNames[code.split('_').slice(0, 2).join('_')]
    default:
      return undefined
  }
}
