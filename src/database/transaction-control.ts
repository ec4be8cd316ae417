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
  const { begin, commit, rollback, to, savepoint, release } = match.groups ?? {}
  const name = (to ?? savepoint ?? release ?? '').replace(/^["`[]|["`\]]$/g, '')
  if (begin !== undefined) return { kind: 'begin', name }
  if (commit !== undefined) return { kind: 'commit', name }
  if (savepoint !== undefined) return { kind: 'savepoint', name }
  if (release !== undefined) return { kind: 'release', name }
  return rollback === undefined ? undefined : { kind: to === undefined ? 'rollback' : 'rollback to', name }
}

const pattern =
  /^\s*(?:(?<begin>begin|start transaction)\b|(?<commit>commit|end)\b|(?<rollback>rollback)\b(?:.*?\bto(?: savepoint)?\s+(?<to>[^\s;]+))?|savepoint\s+(?<savepoint>[^\s;]+)|release\s+(?:savepoint\s+)?(?<release>[^\s;]+))/i
