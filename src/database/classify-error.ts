import { expectOneOf } from '../shared/assertions.ts'
import type { SqlDialect } from './dialect.ts'
import { CommitAmbiguousError, PoolTimeoutError, QueryTimeoutError } from './errors.ts'

/** What went wrong, whatever database and driver said so. */
export type ErrorKind =
  | 'serialization'
  | 'deadlock'
  | 'lock-timeout'
  | 'busy'
  | 'connection'
  | 'unavailable'
  | 'too-many-connections'
  | 'timeout'
  | 'read-only'
  | 'stale-plan'
  | 'ambiguous-commit'
  | 'other'

/** What an error is, and what may be done again. */
export interface ErrorClass {
  readonly kind: ErrorKind
  /**
   * `'transaction'`: the whole transaction, from its start. `'statement-if-idempotent'`: the connection was lost, and a
   * write may have happened. `'after-delay'`: nothing has run; the server is not ready. `'no'`: it would fail again, or
   * nobody knows what was done.
   */
  readonly retry: 'transaction' | 'statement-if-idempotent' | 'after-delay' | 'no'
}

/**
 * What a database error means. The same number means different things: 1205 is a lock that timed out in MySQL, and the
 * victim of a deadlock in SQL Server. So errors are read by dialect, which is found from their shape when it is not given.
 *
 * @param error - what the driver threw: `pg`, `mysql2`, `better-sqlite3`, `node:sqlite`, `tedious`
 * @throws TypeError when the dialect is none of ours
 * @see PostgreSQL, appendix A; MySQL 8.4, B.3.1; sqlite.org/rescode.html; SQL Server, "Database engine events and errors"
 */
export function classifyError(error: unknown, dialect?: SqlDialect): ErrorClass {
  if (dialect !== undefined) expectOneOf(dialect, 'dialect', ['postgres', 'mysql', 'sqlite', 'mssql'])
  if (error instanceof CommitAmbiguousError) return classes['ambiguous-commit']
  if (error instanceof QueryTimeoutError) return classes.timeout
  if (error instanceof PoolTimeoutError) return classes['too-many-connections']
  const fields = fieldsOf(error)
  const kind =
    kindIn(dialect ?? guessDialect(fields), fields) ?? socketErrors[fields.code] ?? kindByMessage(fields.message)
  return classes[kind]
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

const postgresErrors: Readonly<Record<string, ErrorKind>> = {
  '40001': 'serialization',
  '40P01': 'deadlock',
  '55P03': 'lock-timeout',
  '53300': 'too-many-connections',
  '57P03': 'unavailable',
  '08001': 'unavailable',
  '08004': 'unavailable',
  '57P01': 'connection',
  '57P02': 'connection',
  '57P05': 'connection',
  '25P03': 'connection',
  '08000': 'connection',
  '08003': 'connection',
  '08006': 'connection',
  '57014': 'timeout',
  '25006': 'read-only',
  '40003': 'ambiguous-commit',
  '08007': 'ambiguous-commit',
}

const mysqlErrors: Readonly<Record<number, ErrorKind>> = {
  1213: 'deadlock',
  1205: 'lock-timeout',
  3572: 'lock-timeout',
  1020: 'serialization',
  1040: 'too-many-connections',
  1203: 'too-many-connections',
  1226: 'too-many-connections',
  1053: 'connection',
  1927: 'connection',
  2006: 'connection',
  2013: 'connection',
  4031: 'connection',
  1290: 'read-only',
  1792: 'read-only',
  1836: 'read-only',
  1317: 'timeout',
  1969: 'timeout',
  3024: 'timeout',
}

const mssqlErrors: Readonly<Record<number, ErrorKind>> = {
  1205: 'deadlock',
  3960: 'serialization',
  1222: 'lock-timeout',
  10928: 'too-many-connections',
  10929: 'too-many-connections',
  40501: 'unavailable',
  40613: 'unavailable',
  49918: 'unavailable',
  49919: 'unavailable',
  49920: 'unavailable',
  3906: 'read-only',
}

/** Primary result codes; SQLITE_LOCKED (6) is a conflict within the process, which waiting does not solve. */
const sqliteErrors: Readonly<Record<number, ErrorKind>> = { 5: 'busy', 8: 'read-only' }
const sqliteNames: Readonly<Record<string, ErrorKind>> = { SQLITE_BUSY: 'busy', SQLITE_READONLY: 'read-only' }

/** Node's and the drivers' own. A refused connection has run nothing. */
const socketErrors: Readonly<Record<string, ErrorKind>> = {
  ECONNREFUSED: 'unavailable',
  ENOTFOUND: 'unavailable',
  EAI_AGAIN: 'unavailable',
  EHOSTUNREACH: 'unavailable',
  ECONNRESET: 'connection',
  EPIPE: 'connection',
  ETIMEDOUT: 'connection',
  ESOCKET: 'connection',
  ECONNCLOSED: 'connection',
  PROTOCOL_CONNECTION_LOST: 'connection',
  PROTOCOL_ENQUEUE_AFTER_FATAL_ERROR: 'connection',
  ETIMEOUT: 'timeout',
  PROTOCOL_SEQUENCE_TIMEOUT: 'timeout',
}

interface Fields {
  readonly code: string
  readonly message: string
  readonly number: number
  readonly sqliteCode: number
  readonly severity: boolean
  readonly sqlState: boolean
}

function fieldsOf(error: unknown): Fields {
  const { code, message, errno, number, errcode, severity, sqlState } = Object(error) as Record<string, unknown>
  return {
    code: typeof code === 'string' ? code : '',
    message: typeof message === 'string' ? message : '',
    number: typeof number === 'number' ? number : typeof errno === 'number' ? errno : 0,
    sqliteCode: typeof errcode === 'number' ? errcode & 0xff : 0,
    severity: severity !== undefined,
    sqlState: sqlState !== undefined,
  }
}

function guessDialect({ code, number, sqliteCode, severity, sqlState }: Fields): SqlDialect | undefined {
  if (sqliteCode > 0 || code.startsWith('SQLITE_')) return 'sqlite'
  if (sqlState || code.startsWith('ER_') || code.startsWith('PROTOCOL_')) return 'mysql'
  if (code === 'EREQUEST' || code === 'ESOCKET' || code === 'ECONNCLOSED') return 'mssql'
  if (severity || /^[0-9A-Z]{5}$/.test(code)) return 'postgres'
  return number > 0 ? 'mysql' : undefined
}

function kindIn(dialect: SqlDialect | undefined, { code, message, number, sqliteCode }: Fields): ErrorKind | undefined {
  switch (dialect) {
    case 'postgres':
      // Raised for other things as well; only this one is cured by preparing the statement again.
      if (code === '0A000' && message.includes('cached plan')) return 'stale-plan'
      return postgresErrors[code]
    case 'mysql':
      return mysqlErrors[number]
    case 'mssql':
      return mssqlErrors[number]
    case 'sqlite':
      return sqliteErrors[sqliteCode] ?? sqliteNames[code.split('_').slice(0, 2).join('_')]
    default:
      return undefined
  }
}

function kindByMessage(message: string): ErrorKind {
  const lost =
    /^Connection terminated|not queryable|connection is in closed state|Can't add new command when connection is in closed|connection has been discarded|server closed the connection/i
  return lost.test(message) ? 'connection' : 'other'
}
