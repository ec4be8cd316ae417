/** A statement that controls the transaction of its connection. */
export interface TransactionControl {
  readonly kind: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollback to' | 'release'
  /** The name of the savepoint, or `''`. */
  readonly name: string
}

/** Reads transaction control off SQL, written by Kysely's drivers or by hand; `undefined` for every other statement. */
export function transactionControl(sql: string): TransactionControl | undefined {
  const match = controlPattern.exec(sql)
  if (match === null) return undefined
  const { begin, commit, to, savepoint, release } = match.groups as Record<string, string | undefined>
  const name = (to ?? savepoint ?? release ?? '').replace(/^["`[]|["`\]]$/g, '')
  if (begin !== undefined) return { kind: 'begin', name }
  if (commit !== undefined) return { kind: 'commit', name }
  if (savepoint !== undefined) return { kind: 'savepoint', name }
  if (release !== undefined) return { kind: 'release', name }
  return { kind: to === undefined ? 'rollback' : 'rollback to', name }
}

const controlPattern =
  /^\s*(?:(?<begin>begin|start transaction)\b|(?<commit>commit|end)\b|rollback\b(?:.*?\bto(?: savepoint)?\s+(?<to>[^\s;]+))?|savepoint\s+(?<savepoint>[^\s;]+)|release\s+(?:savepoint\s+)?(?<release>[^\s;]+))/i
