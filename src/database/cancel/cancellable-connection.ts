import { CompiledQuery, type DatabaseConnection } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import type { Execute, WithOwnConnection } from '../execute.ts'
import { type CancellableSession, type CancelledQuery, cancelRunning, endOf } from './cancel-running.ts'
import { controlOf, setControl } from './connection-control.ts'
import { controlOfPlainPool } from './plain-pool.ts'

interface CancellationOptions {
  readonly dialect: SqlDialect
  readonly withOwnConnection: WithOwnConnection
  readonly onWarn: OnWarn
}

/** A connection of a Kysely driver whose queries can be cancelled on the server. */
export class CancellableConnection {
  readonly #connection: DatabaseConnection & NativeCancellation
  readonly #run: Execute
  readonly #options: CancellationOptions
  #isPrepared = false
  #isShared = false
  #stillRunning: Promise<unknown> | undefined
  #isCancelling = false

  constructor(connection: DatabaseConnection, run: Execute, options: CancellationOptions) {
    this.#connection = connection
    this.#run = run
    this.#options = options
  }

  /** Settles when the cancelled query that still runs on the connection has ended. Nothing else may run until then. */
  get stillRunning(): Promise<unknown> | undefined {
    return this.#isShared ? undefined : this.#stillRunning
  }

  /**
   * Records that the driver hands out the connection to several callers at once, as drivers over HTTP do. Their queries
   * do not wait for each other.
   */
  recordShared(): void {
    this.#isShared = true
  }

  /** Call it before each query. @returns before the first query, a promise that settles when it knows how to cancel here */
  prepare(): Promise<void> | undefined {
    if (this.#isPrepared) return undefined
    this.#isPrepared = true
    return this.#findControl()
  }

  /** Cancels the query that runs on the connection, and resolves when it has ended. Never rejects. */
  cancel<Answer>(running: Promise<Answer>): Promise<CancelledQuery<Answer>> {
    if (this.#isShared) return this.#cancel(running)
    // A second request, for another reason, could hit the next query. The first request already ends `running`.
    if (this.#isCancelling) return endOf(running)
    this.#isCancelling = true
    return this.#cancel(running).finally(() => {
      this.#isCancelling = false
    })
  }

  /**
   * Cancels a query whose rows are read in chunks, and closes the chunks. The awaited chunk may still come. Then the
   * connection would serve no other query before the rest of the rows is read.
   */
  cancelStream<Chunk extends IteratorResult<unknown>>(
    chunk: Promise<Chunk>,
    chunks: Pick<AsyncGenerator, 'return'>,
  ): Promise<CancelledQuery<Chunk>> {
    const closed = chunk.then(async (read) => {
      if (read.done) return read
      await chunks.return(undefined)
      // `mysql2` skips the rest of the rows first.
      await this.#run(harmless)
      throw new Error('The stream was closed before its last row')
    })
    return this.cancel(closed)
  }

  async #cancel<Answer>(running: Promise<Answer>): Promise<CancelledQuery<Answer>> {
    const cancelled = await cancelRunning(running, this.#session())
    const { stillRunning } = cancelled
    // Kysely runs one query after another on a connection, so no other query can still be running on it.
    this.#stillRunning = stillRunning?.finally(() => {
      this.#stillRunning = undefined
    })
    return cancelled
  }

  #session(): CancellableSession {
    const runHarmless = () => this.#run(harmless)
    const control = controlOf(this.#connection)
    if (control !== undefined) return { cancel: control.cancel, destroy: control.destroy, runHarmless }
    if (this.#cancelsNatively) return { cancel: (isWanted) => this.#cancelNatively(isWanted), runHarmless }
    return { cancel: () => Promise.reject(new Error('The driver cannot cancel a query')), runHarmless }
  }

  /**
   * Whether Kysely's own cancellation is used. On PostgreSQL and MySQL it is not: it names a session by its number, and
   * behind a pooler that number is another client's.
   */
  get #cancelsNatively(): boolean {
    return this.#options.dialect === 'mssql' && this.#connection.cancelQuery !== undefined
  }

  async #cancelNatively(isWanted: () => boolean): Promise<void> {
    if (!isWanted()) return
    const { withOwnConnection } = this.#options
    await this.#connection.cancelQuery?.((use) =>
      withOwnConnection((execute) => use({ executeQuery: execute } as never)),
    )
  }

  async #findControl(): Promise<void> {
    if (controlOf(this.#connection) !== undefined) return
    if (this.#cancelsNatively) return this.#connection.collectSessionInfo?.()
    const control = await controlOfPlainPool(this.#options.dialect, () => this.#run(harmless))
    if (control === undefined) this.#options.onWarn(notCancelled)
    else setControl(this.#connection, control)
  }
}

const harmless = /* @__PURE__ */ CompiledQuery.raw('select 1')

const notCancelled = {
  code: 'TIMEOUT_NOT_CANCELLED',
  message:
    'A query that takes longer than `timeout`, or that nobody waits for, fails, but it runs on: this driver gives no way to cancel it. Tune the pool of `pg` or `mysql2` (`tunePgPool`, `tuneMysqlPool`), or let the server end statements (`statement_timeout`)',
}

/** Methods of connections since Kysely 0.29. */
interface NativeCancellation {
  collectSessionInfo?(): Promise<void>
  cancelQuery?(provide: (use: (connection: never) => Promise<void>) => Promise<void>): Promise<void>
}
