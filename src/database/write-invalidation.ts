import type { OnWarn } from '../shared/warnings.ts'
import { classifyError } from './classify-error.ts'
import type { SqlDialect } from './dialect.ts'
import type { Statement } from './query-statistics.ts'
import type { TransactionState } from './transaction-state.ts'
import type { TagInvalidator } from './types.ts'

/** Tells a cache which tables were changed, once the change is committed. */
export class WriteInvalidation {
  readonly #invalidator: TagInvalidator
  readonly #dialect: SqlDialect
  readonly #onWarn: OnWarn

  constructor(invalidator: TagInvalidator, dialect: SqlDialect, onWarn: OnWarn) {
    this.#invalidator = invalidator
    this.#dialect = dialect
    this.#onWarn = onWarn
  }

  /** What a statement that ran means for the cache; a promise when there is something to wait for. */
  after({ shape, control }: Statement, transaction: TransactionState): Promise<void> | undefined {
    if (shape.writes.length > 0) transaction.change(shape.writes)
    if (transaction.open && control?.kind !== 'commit') return undefined
    return this.tell(transaction.end())
  }

  /**
   * A statement failed. Lost together with its connection, it may have been applied all the same, and telling a cache too
   * much is safe.
   */
  afterFailure(
    { shape, control }: Statement,
    transaction: TransactionState,
    error: unknown,
  ): Promise<void> | undefined {
    if (control?.kind !== 'commit' && (transaction.open || shape.writes.length === 0)) return undefined
    if (!mayHaveRun(classifyError(error, this.#dialect).kind)) return undefined
    transaction.change(shape.writes)
    return this.tell(transaction.end())
  }

  /** Tells the cache, and waits for it: whoever waited for the write reads no older value afterwards. */
  tell(tables: readonly string[]): Promise<void> | undefined {
    return tables.length === 0 ? undefined : this.#invalidate(tables)
  }

  async #invalidate(tables: readonly string[]): Promise<void> {
    try {
      await this.#invalidator.invalidateTags(...tables.map((table) => `table:${table}` as const))
    } catch {
      // The write is done; that its readers were not told must not look like a failed write.
      const message = `The tables ${tables.join(', ')} were changed, and the cache could not be told`
      this.#onWarn({ code: 'INVALIDATION_FAILED', message })
    }
  }
}

function mayHaveRun(kind: string): boolean {
  return kind === 'connection' || kind === 'ambiguous-commit' || kind === 'timeout'
}
