import type { RedisRefusal, StoreErrorKind } from '../counters.ts'
import type { CacheErrorEvent } from '../events.ts'

/** The store did not answer within `timeouts.store`. */
export class StoreTimeoutError extends Error {
  override readonly name = 'StoreTimeoutError'
}

export function lateError(): StoreTimeoutError {
  return new StoreTimeoutError('the store did not answer within `timeouts.store`')
}

/** Redis' error codes for faults of the server, not of the request. */
const unavailable = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOAUTH|WRONGPASS|NOREPLICAS|BUSY|UNKILLABLE)$/

/** What Redis up to 6.2 and Dragonfly put before the error of a command inside a script. */
const scriptPlace = /^ERR Error running script \(call to \w+\): @user_script:\d+:(?: @user_script: ?\d+:)? -?/

/** The word in capitals with which Redis begins its errors. */
function codeOf({ message }: Error): string {
  return /^[A-Z]+\b/.exec(message.replace(scriptPlace, ''))?.[0] ?? ''
}

/** Whether the store cannot be used at all for now. */
export function isOutage(error: unknown): boolean {
  if (error instanceof StoreTimeoutError) return false
  return !isAnswer(error) || unavailable.test(codeOf(error as Error))
}

export function kindOf(error: unknown, operation: CacheErrorEvent['operation']): StoreErrorKind {
  if (error instanceof StoreTimeoutError) return 'timeout'
  const refusal = refusalOf(error)
  if (refusal !== undefined) return refusal
  if (isOutage(error)) return 'connection'
  return operation === 'read' || operation === 'decode' ? 'decode' : 'write'
}

/**
 * How servers say that a command inside a script is not allowed (Redis up to 7.0; later ones and Valkey), or that the
 * operator has renamed a command.
 */
const noRight = /\buser executing the script can't|\bACL failure in script\b|\bunknown (?:redis )?command\b/i

/** The code of a refusal that only Redis' operator can lift. */
export function refusalOf(error: unknown): RedisRefusal | undefined {
  if (!(error instanceof Error)) return undefined
  if (noRight.test(error.message)) return 'NOPERM'
  return /^(OOM|NOPERM|MISCONF|WRONGPASS)$/.exec(codeOf(error))?.[0] as RedisRefusal | undefined
}

/**
 * Whether the server is a replica: a former primary, after a failover that kept its connections. A new connection by the
 * same name may lead to the new primary.
 */
export function isOfReplica(error: unknown): boolean {
  return error instanceof Error && /^(READONLY|MASTERDOWN)$/.test(codeOf(error))
}

/** The SQL states that blame the data: invalid or too long, against a constraint, beyond a limit of the program. */
const ofData = /^(22|23|54)[0-9A-Z]{3}$/

/**
 * Whether the store itself answered with the error. Redis begins its errors with a code in capitals. SQL databases refuse
 * data with an SQL state, which `pg` has as `code` and `mysql2` as `sqlState`.
 */
export function isAnswer(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { code, sqlState = code } = error as { readonly code?: unknown; readonly sqlState?: unknown }
  return /^[A-Z][A-Z0-9]+ /.test(error.message) || ofData.test(String(sqlState))
}
