import type { CompiledQuery, QueryResult } from 'kysely'
import { withDeadline } from '../../shared/time/waiting.ts'
import type { CancelledQuery } from '../cancel/cancel-running.ts'
import type { CancellableConnection } from '../cancel/cancellable-connection.ts'
import { QueryTimeoutError } from '../errors.ts'
import type { Chunks, Execute } from '../execute.ts'

/**
 * Cancels queries that take too long, on the server. The connection is used again only when the query has ended there,
 * and after a harmless statement. A cancellation that arrives too late hits that statement.
 */
export class QueryTimeout {
  readonly #connection: CancellableConnection
  readonly #run: Execute
  readonly #timeoutMs: number

  constructor(connection: CancellableConnection, run: Execute, timeoutMs: number) {
    this.#connection = connection
    this.#run = run
    this.#timeoutMs = timeoutMs
  }

  readonly execute: Execute = async (query, options) => {
    await this.#prepare()
    const running = this.#run(query, options)
    return this.#limit(query, running, () => this.#connection.cancel(running))
  }

  /** Limits the wait for each chunk of a stream, not the time that its reader takes between chunks. */
  async *stream(query: CompiledQuery, open: () => Chunks): Chunks {
    await this.#prepare()
    const chunks = open()
    // `return` runs only when the reader leaves. After a failure the stream is closed already, or closing it would hang.
    const limited: AsyncIterator<QueryResult<unknown>, void> = {
      next: () => {
        const chunk = chunks.next()
        return this.#limit(query, chunk, () => this.#connection.cancelStream(chunk, chunks))
      },
      return: () => chunks.return(),
    }
    yield* { [Symbol.asyncIterator]: () => limited }
  }

  #prepare(): Promise<void> | undefined {
    if (this.#connection.stillRunning !== undefined) {
      throw new QueryTimeoutError('The connection still runs a query that timed out')
    }
    return this.#connection.prepare()
  }

  async #limit<Answer>(
    query: CompiledQuery,
    running: Promise<Answer>,
    cancel: () => Promise<CancelledQuery<Answer>>,
  ): Promise<Answer> {
    // The race ends before the cancellation starts. So the caller gets our error, not that of the cancelled query.
    return (await withDeadline(running, this.#timeoutMs)) ?? this.#outcomeOf(query, await cancel())
  }

  #outcomeOf<Answer>(query: CompiledQuery, { result, error }: CancelledQuery<Answer>): Answer {
    // A write that ended before the server was asked has been applied: reporting it as failed would be wrong.
    if (result !== undefined && query.query.kind !== 'SelectQueryNode' && !/^\s*select\b/i.test(query.sql)) {
      return result
    }
    const message = `The query took longer than ${this.#timeoutMs} ms and was cancelled`
    throw new QueryTimeoutError(message, { cause: error })
  }
}
