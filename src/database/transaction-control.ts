/** What a statement does to the transaction of its connection. */
export interface TransactionControl {
  readonly kind: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'rollback to' | 'release'
  /** Of the savepoint. */
  readonly name: string
}

/** Reads transaction control off SQL, written by Kysely's drivers or by hand; `undefined` for everything else. */
export function transactionControl(sql: string): TransactionControl | undefined {
  const match = pattern.exec(sql)
  if (match === null) return undefined
  const { begin, commit, to, savepoint, release } = match.groups as Record<string, string | undefined>
  const name = (to ?? savepoint ?? release ?? '').replace(/^["`[]|["`\]]$/g, '')
  if (begin !== undefined) return { kind: 'begin', name }
  if (commit !== undefined) return { kind: 'commit', name }
  if (savepoint !== undefined) return { kind: 'savepoint', name }
  if (release !== undefined) return { kind: 'release', name }
  return { kind: to === undefined ? 'rollback' : 'rollback to', name }
}

const pattern =
  /^\s*(?:(?<begin>begin|start transaction)\b|(?<commit>commit|end)\b|rollback\b(?:.*?\bto(?: savepoint)?\s+(?<to>[^\s;]+))?|savepoint\s+(?<savepoint>[^\s;]+)|release\s+(?:savepoint\s+)?(?<release>[^\s;]+))/i
