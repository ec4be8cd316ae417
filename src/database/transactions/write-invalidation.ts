import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import { classifyError } from '../classify-error.ts'
import type { Statement } from '../statistics/query-statistics.ts'
import type { TagInvalidator } from '../types.ts'
import type { TransactionState } from './transaction-state.ts'

/** Invalidates the changed tables in a cache, once the change is committed. */
export class WriteInvalidation {
  readonly #invalidator: TagInvalidator
  readonly #dialect: SqlDialect
  readonly #onWarn: OnWarn

  constructor(invalidator: TagInvalidator, dialect: SqlDialect, onWarn: OnWarn) {
    this.#invalidator = invalidator
    this.#dialect = dialect
    this.#onWarn = onWarn
  }

  /** @returns a promise while the cache invalidates the tables */
  afterSuccess(writes: readonly string[], isCommit: boolean, transaction: TransactionState): Promise<void> | undefined {
    if (writes.length > 0) transaction.addChangedTables(writes)
    if (transaction.isOpen && !isCommit) {
      return transaction.mayHaveEnded ? this.invalidate(writes) : undefined
    }
    return this.invalidate(transaction.end())
  }

  /**
   * Also invalidates when a statement failed because its connection was lost. The statement may have been applied, and
   * invalidating too much is safe.
   *
   * @param stillRunning - settles when the statement has ended, if it still runs: until then, readers get the old rows
   */
  afterFailure(
    statement: Statement,
    transaction: TransactionState,
    error: unknown,
    stillRunning: Promise<unknown> | undefined,
  ): Promise<void> | undefined {
    const { writes, control, sql } = statement
    const keepsPart = keptPart.test(sql)
    if (transaction.isOpen && control?.kind !== 'commit') {
      // PostgreSQL refuses everything until the ROLLBACK. Other databases may have rolled back by themselves, as after a
      // deadlock.
      if (this.#dialect !== 'postgres') transaction.recordFailure()
      if (keepsPart) transaction.addChangedTables(writes)
      return undefined
    }
    if (control?.kind !== 'commit' && writes.length === 0) return undefined
    if (!keepsPart && !mayHaveRun(classifyError(error, this.#dialect).kind)) {
      // A COMMIT that is refused ends its transaction in most databases.
      if (transaction.isOpen) transaction.recordFailure()
      return undefined
    }
    transaction.addChangedTables(writes)
    const changed = transaction.end()
    void stillRunning?.then(() => this.invalidate(changed))
    return this.invalidate(changed)
  }

  /** Resolves when the cache is done. A reader who waited for the write then gets no older value. */
  invalidate(tables: readonly string[]): Promise<void> | undefined {
    return tables.length === 0 ? undefined : this.#invalidateTags(tables)
  }

  async #invalidateTags(tables: readonly string[]): Promise<void> {
    try {
      await this.#invalidator.invalidateTags(...tables.map((table) => `table:${table}` as const))
    } catch {
      // The write has succeeded, and must not look failed because the cache fails.
      const message = `The tables ${tables.join(', ')} were changed, and the cache could not be told`
      this.#onWarn({ code: 'INVALIDATION_FAILED', message })
    }
  }
}

/** With `or fail`, SQLite keeps the rows that a statement changed before it failed. */
const keptPart = /^\s*(?:insert|update)\s+or\s+fail\b/i

function mayHaveRun(kind: string): boolean {
  return kind === 'connection' || kind === 'ambiguous-commit' || kind === 'timeout'
}
