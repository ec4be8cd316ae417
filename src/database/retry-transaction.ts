import type { AccessMode, IsolationLevel, Kysely, Transaction } from 'kysely'
import type { Duration } from '../shared/duration.ts'
import { createRetrier, type RetryEvent } from '../shared/retry.ts'
import { classifyError } from './classify-error.ts'
import { dialectOf, type SqlDialect } from './dialect.ts'
import { CommitAmbiguousError } from './errors.ts'

/** Options of {@link retryTransaction}. */
export interface RetryTransactionOptions {
  /** @defaultValue the database's own */
  readonly isolationLevel?: IsolationLevel | undefined
  /** @defaultValue the database's own */
  readonly accessMode?: AccessMode | undefined
  /** Further attempts after the first one. @defaultValue 3 */
  readonly retries?: number | undefined
  /** Upper bound of the pause after the first failure; it doubles, and the pause is drawn from zero up. @defaultValue '50ms' */
  readonly minDelay?: Duration | undefined
  /** Upper bound of any pause. @defaultValue '5s' */
  readonly maxDelay?: Duration | undefined
  /** Ends the attempts; a transaction that runs is not interrupted. */
  readonly signal?: AbortSignal | undefined
  /** Told of each failure that is tried again, before the pause. */
  readonly onRetry?: ((retry: RetryEvent) => void) | undefined
}

/**
 * Runs a transaction, and runs it again from its start when it lost a race: serialization failures, deadlocks, lock
 * timeouts, a busy SQLite, and a connection that was lost before COMMIT. The function has to be fit for that: what it does
 * outside the database happens once per attempt.
 *
 * @param fn - called with a fresh transaction and the number of the attempt, from 1
 * @returns what the function returned, once it is committed
 * @throws {@link CommitAmbiguousError} when the connection was lost during COMMIT: nobody knows whether it was applied, so
 *   it is not tried again; the last error otherwise, unchanged; after an abort the signal's reason
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
  if (db.isTransaction)
    throw new TypeError('Expected `db` to be no transaction: only a whole transaction can be retried')
  const { isolationLevel, accessMode, retries, minDelay, maxDelay, signal, onRetry } = options
  const dialect = dialectOf({ compileQuery: (node, id) => db.getExecutor().compileQuery(node, id) })
  const shouldRetry = (error: unknown) => mayRunAgain(error, dialect)
  const retry = createRetrier({ retries, minDelay, maxDelay, onRetry, shouldRetry })
  let builder = db.transaction()
  if (isolationLevel !== undefined) builder = builder.setIsolationLevel(isolationLevel)
  if (accessMode !== undefined) builder = builder.setAccessMode(accessMode)
  return retry(async ({ attempt }) => {
    let committing = false
    try {
      return await builder.execute(async (trx) => {
        const result = await fn(trx, attempt)
        committing = true
        return result
      })
    } catch (error) {
      if (committing && isAmbiguous(error, dialect)) {
        const message = 'The connection was lost during COMMIT: the transaction may have been applied or not'
        throw new CommitAmbiguousError(message, { cause: error })
      }
      throw error
    }
  }, signal)
}

/** Before COMMIT a lost connection has rolled everything back. */
function mayRunAgain(error: unknown, dialect: SqlDialect): boolean {
  const { kind, retry } = classifyError(error, dialect)
  return retry === 'transaction' || retry === 'after-delay' || kind === 'connection'
}

function isAmbiguous(error: unknown, dialect: SqlDialect): boolean {
  const { kind } = classifyError(error, dialect)
  return kind === 'connection' || kind === 'timeout' || kind === 'ambiguous-commit' || kind === 'unavailable'
}
