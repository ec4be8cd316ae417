import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import type { Abandonable } from '../../shared/scope/abandonable.ts'
import { currentOwner } from '../../shared/scope/work.ts'
import type { RunningQuery } from '../query-observer.ts'
import type { Statement } from '../statistics/query-statistics.ts'
import type { AbandonedQueries } from '../types.ts'
import { AbandonedConnection, type Acquisition } from './abandoned-connection.ts'
import type { CancellableConnection } from './cancellable-connection.ts'

/** Who waits for a query. When the owner or the signal is aborted, nobody waits for the rows. */
export interface Waiting {
  readonly owner: Abandonable | undefined
  /** The signal that was passed to Kysely's `execute`. */
  readonly signal: AbortSignal | undefined
}

/**
 * Ends SELECTs of requests and loads that nobody waits for any more. Running SELECTs are cancelled on the server, those
 * that wait for a connection leave the queue, and later ones are not sent. Transactions and all other queries run as
 * usual, because ending them would lose a change.
 */
export class Abandonment {
  readonly #counts = { cancelled: 0, dequeued: 0, refused: 0 }
  readonly #statementOf: (query: CompiledQuery) => Statement

  constructor(statementOf: (query: CompiledQuery) => Statement) {
    this.#statementOf = statementOf
  }

  counts(): AbandonedQueries {
    return { ...this.#counts }
  }

  /** @returns `undefined` when the query must run to its end */
  waitingFor({ statement, inTransaction }: RunningQuery, options: unknown): Waiting | undefined {
    if (inTransaction || !mayEnd(statement)) return undefined
    const owner = currentOwner()
    const signal = (options as { readonly signal?: AbortSignal } | undefined)?.signal
    return owner === undefined && signal === undefined ? undefined : { owner, signal }
  }

  /** @throws the reason when nobody waits */
  refuseIfAbandoned({ owner }: Waiting): void {
    if (!owner?.isAbandoned) return
    this.#counts.refused += 1
    throw owner.reason
  }

  /**
   * Waits for a query, and cancels it when nobody waits any more. Then it settles only when the query has ended on the
   * server.
   *
   * @param cancel - cancels the query, and never rejects; `undefined` where queries cannot be cancelled, as on SQLite
   * @param ended - the answer when Kysely's own signal was aborted: Kysely has thrown by then, and ignores it
   */
  limit<Answer>(
    waiting: Waiting,
    running: Promise<Answer>,
    cancel: (() => Promise<unknown>) | undefined,
    ended: Answer,
  ): Promise<Answer> {
    if (cancel === undefined) return running
    const { owner, signal } = waiting
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    let isEnding = false
    const stop = () => {
      owner?.removeListener(end)
      signal?.removeEventListener('abort', end)
    }
    const end = () => {
      if (isEnding) return
      isEnding = true
      this.#counts.cancelled += 1
      stop()
      const settle = () => (signal?.aborted ? resolve(ended) : reject(owner?.reason))
      cancel().then(settle, reject)
    }
    owner?.addListener(end)
    signal?.addEventListener('abort', end)
    const unlessEnding =
      <Value>(settle: (value: Value) => void) =>
      (value: Value) => {
        if (isEnding) return
        stop()
        settle(value)
      }
    running.then(unlessEnding(resolve), unlessEnding(reject))
    if (owner?.isAbandoned || signal?.aborted) end()
    return promise
  }

  /**
   * Closes a stream whose reader leaves. If nobody waits, its query is cancelled, because `mysql2` would read all of its
   * rows.
   */
  closeStream(
    { owner, signal }: Waiting,
    cancellable: CancellableConnection,
    chunks: AsyncGenerator<unknown, void>,
  ): Promise<IteratorResult<never, void>> {
    const closed = { done: true, value: undefined } as const
    if (!owner?.isAbandoned && !signal?.aborted) return chunks.return().then(() => closed)
    this.#counts.cancelled += 1
    const chunk = Promise.resolve({ done: false, value: undefined })
    return cancellable.cancelStream(chunk, chunks).then(() => closed)
  }

  /**
   * Takes a connection for the running code. Once nobody waits, it hands out a stand-in instead. Only when the stand-in
   * is used does it show which query it is for, and only a SELECT is refused.
   */
  acquire(acquisition: Acquisition): Promise<DatabaseConnection> {
    const owner = currentOwner()
    if (owner === undefined) return acquisition.take().connection
    const standIn = (pending?: ReturnType<Acquisition['take']>) =>
      new AbandonedConnection(acquisition, pending, (query) => this.#refuse(query, owner, pending !== undefined))
    if (owner.isAbandoned) return Promise.resolve(standIn())
    const pending = acquisition.take()
    const { promise, resolve, reject } = Promise.withResolvers<DatabaseConnection>()
    const abandon = () => resolve(standIn(pending))
    owner.addListener(abandon)
    pending.connection.then(resolve, reject).finally(() => owner.removeListener(abandon))
    return promise
  }

  /** @returns why the query is not sent; `undefined` when it must be */
  #refuse(query: CompiledQuery, owner: Abandonable, isQueued: boolean): Error | undefined {
    if (!mayEnd(this.#statementOf(query)) || currentOwner() !== owner) return undefined
    if (isQueued) this.#counts.dequeued += 1
    else this.#counts.refused += 1
    return owner.reason as Error
  }
}

/** No rows, for a caller who no longer reads them. */
export const noRows: QueryResult<never> = { rows: [] }

function mayEnd({ onlyReads, control }: Statement): boolean {
  return onlyReads && control === undefined
}
