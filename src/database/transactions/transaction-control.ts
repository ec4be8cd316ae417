import type { SqlDialect } from '../../shared/sql/statement.ts'

/** A statement that controls the transaction of its connection. */
export interface TransactionControl {
  readonly kind: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollback to' | 'release'
  /** The name of the savepoint, or `''`. */
  readonly name: string
  /** Whether the next transaction begins at once. */
  readonly chains?: boolean
}

/** Reads transaction control from SQL written by Kysely's drivers or by hand; `undefined` for any other statement. */
export function transactionControl(sql: string): TransactionControl | undefined {
  const match = controlPattern.exec(sql)
  if (match === null) return undefined
  const { begin, commit, to, savepoint, release } = match.groups as Record<string, string | undefined>
  const name = (to ?? savepoint ?? release ?? '').replace(/^["`[]|["`\]]$/g, '')
  const chains = /\band\s+chain\b/i.test(sql)
  if (begin !== undefined) return { kind: 'begin', name }
  if (commit !== undefined) return { kind: 'commit', name, chains }
  if (savepoint !== undefined) return { kind: 'savepoint', name }
  if (release !== undefined) return { kind: 'release', name }
  return to === undefined ? { kind: 'rollback', name, chains } : { kind: 'rollback to', name }
}

/** Whether MySQL and MariaDB commit the open transaction before they run the statement, even if it then fails. */
export function commitsImplicitly(sql: string, dialect: SqlDialect | undefined): boolean {
  return dialect === 'mysql' && implicitCommit.test(sql)
}

/** @see MySQL 8.4, "Statements That Cause an Implicit Commit" */
const implicitCommit =
  /^\s*(?:begin\b|start\s+transaction\b|(?:create|drop)\s+(?!(?:or\s+replace\s+)?temporary\b|prepare\b)|analyze\s+(?:(?:no_write_to_binlog|local)\s+)?tables?\b|(?:alter|rename|truncate|grant|revoke|optimize|repair|flush|reset|install|uninstall|lock\s+tables?|check\s+tables?|(?:cache|load)\s+index)\b|set\s+password\b)/i

/** PREPARE TRANSACTION counts as a commit: it ends the transaction here, and its changes may become visible. */
const controlPattern =
  /^\s*(?:(?<begin>begin|start\s+transaction)\b|(?<commit>commit|end|prepare\s+transaction)\b|(?:rollback|abort)\b(?:.*?\bto(?: savepoint)?\s+(?<to>[^\s;]+))?|savepoint\s+(?<savepoint>[^\s;]+)|release\s+(?:savepoint\s+)?(?<release>[^\s;]+))/i
