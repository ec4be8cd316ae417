import type { AccessMode, IsolationLevel, Kysely, Transaction } from 'kysely'
import { expectFunction, expectObject, expectOneOf, expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import { createRetrier, type RetryEvent } from '../../shared/retry.ts'
import { dialectOf, type SqlDialect } from '../../shared/sql/statement.ts'
import type { Duration } from '../../shared/time/duration.ts'
import { classifyError } from '../classify-error.ts'
import { CommitAmbiguousError } from '../errors.ts'

export interface RetryTransactionOptions {
  /** @defaultValue the database's own */
  readonly isolationLevel?: IsolationLevel | undefined
  /** @defaultValue the database's own */
  readonly accessMode?: AccessMode | undefined
  /** Further attempts after the first one. @defaultValue 3 */
  readonly retries?: number | undefined
  /**
   * Upper bound of the pause after the first failure; the bound doubles with each failure. Each pause is a random part of it.
   * @defaultValue '50ms'
   */
  readonly minDelay?: Duration | undefined
  /** Upper bound of any pause. @defaultValue '5s' */
  readonly maxDelay?: Duration | undefined
  /** Stops further attempts. A transaction that is running is not interrupted. */
  readonly signal?: AbortSignal | undefined
  /** Called before each pause, with the failure that will be retried. */
  readonly onRetry?: ((retry: RetryEvent) => void) | undefined
}

const retryTransactionOptions: OptionKinds<RetryTransactionOptions> = {
  isolationLevel: 'own',
  accessMode: 'own',
  retries: 'own',
  minDelay: 'own',
  maxDelay: 'own',
  signal: 'signal',
  onRetry: 'function',
}

/** Checked here, because Kysely's own error does not name the option. */
const isolationLevels = ['read uncommitted', 'read committed', 'repeatable read', 'serializable', 'snapshot'] as const

/**
 * Runs a transaction, and runs it again from its start after a serialization failure, a deadlock, a lock timeout, a busy
 * SQLite, or the loss of the connection before COMMIT. The function must be safe to repeat: its effects outside the database
 * happen once per attempt.
 *
 * @param fn - called with a fresh transaction and the number of the attempt, from 1
 * @returns the function's result, once it is committed
 * @throws {@link CommitAmbiguousError} when the connection was lost during COMMIT: the transaction may have been applied, so
 *   it is not retried. The signal's reason after an abort. Otherwise the last error, unchanged.
 *
 * @example
 * ```ts
 * await retryTransaction(db, (trx) => transfer(trx, from, to, amount), { isolationLevel: 'serializable' })
 * ```
 */
export async function retryTransaction<DB, Result>(
  db: Kysely<DB>,
  fn: (trx: Transaction<DB>, attempt: number) => Promise<Result>,
  options: RetryTransactionOptions = {},
): Promise<Result> {
  expectObject(db, 'db', ['transaction', 'getExecutor'], 'a Kysely')
  expectFunction(fn, 'fn')
  expectOptions(options, retryTransactionOptions)
  if (db.isTransaction)
    throw new TypeError('Expected `db` to be no transaction: only a whole transaction can be retried')
  const { isolationLevel, accessMode, retries, minDelay, maxDelay, signal, onRetry } = options
  const dialect = dialectOf({ compileQuery: (node, id) => db.getExecutor().compileQuery(node, id) })
  const shouldRetry = (error: unknown) => mayRunAgain(error, dialect)
  const retry = createRetrier({ retries, minDelay, maxDelay, onRetry, shouldRetry })
  let builder = db.transaction()
  if (accessMode !== undefined) expectOneOf(accessMode, 'accessMode', ['read only', 'read write'])
  if (isolationLevel !== undefined) expectOneOf(isolationLevel, 'isolationLevel', isolationLevels)
  if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel)
  if (accessMode !== undefined) builder = builder.setAccessMode(accessMode)
  return retry(async ({ attempt }) => {
    let isCommitting = false
    try {
      return await builder.execute(async (trx) => {
        const result = await fn(trx, attempt)
        isCommitting = true
        return result
      })
    } catch (error) {
      if (isCommitting && isAmbiguous(error, dialect)) {
        const message = 'The connection was lost during COMMIT: the transaction may have been applied or not'
        throw new CommitAmbiguousError(message, { cause: error })
      }
      throw error
    }
  }, signal)
}

/** Whether a new attempt is safe. If the connection is lost before COMMIT, the database rolls the transaction back. */
function mayRunAgain(error: unknown, dialect: SqlDialect): boolean {
  const { kind, retry } = classifyError(error, dialect)
  return retry === 'transaction' || retry === 'after-delay' || kind === 'connection'
}

function isAmbiguous(error: unknown, dialect: SqlDialect): boolean {
  const { kind } = classifyError(error, dialect)
  return kind === 'connection' || kind === 'timeout' || kind === 'ambiguous-commit' || kind === 'unavailable'
}
