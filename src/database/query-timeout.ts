import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { CompiledQuery as Compiled } from 'kysely'
import { type ConnectionControl, controlOf } from './connection-control.ts'
import { QueryTimeoutError } from './errors.ts'
import type { Execute } from './execute.ts'
import type { Instruments } from './instruments.ts'
import { within } from './within.ts'

/** How long a cancelled query may take to end before its connection is given up. */
const graceMs = 2_000

/**
 * Cancels queries that take too long, on the server: `pg_cancel_backend`, `KILL QUERY`. The connection is used again only
 * when the query has ended, and after one statement that takes a cancellation which came too late for its query.
 */
export class QueryTimeout {
  /** The query that is still running although nobody waits for it. */
  busy: Promise<unknown> | undefined
  readonly #connection: DatabaseConnection & NativeCancellation
  readonly #run: Execute
  readonly #timeoutMs: number
  readonly #instruments: Instruments
  #sessionId: number | undefined

  constructor(connection: DatabaseConnection, run: Execute, timeoutMs: number, instruments: Instruments) {
    this.#connection = connection
    this.#run = run
    this.#timeoutMs = timeoutMs
    this.#instruments = instruments
  }

  readonly execute: Execute = async (query, options) => {
    await this.#prepare()
    return this.#limit(query, this.#run(query, options))
  }

  /** Limits the wait for each part of a stream, and not what its reader does in between. */
  async *stream(query: CompiledQuery, open: () => Parts): Parts {
    await this.#prepare()
    const parts = open()
    // Closing is for when the reader leaves: after a failure the parts are closed, or so stuck that it would hang.
    const limited: AsyncIterator<QueryResult<unknown>, void> = {
      next: () => this.#limit(query, parts.next()),
      return: () => parts.return(),
    }
    yield* { [Symbol.asyncIterator]: () => limited }
  }

  async #prepare(): Promise<void> {
    if (this.busy !== undefined) throw new QueryTimeoutError('The connection still runs a query that timed out')
    if (this.#sessionId === undefined) await this.#identify()
  }

  async #limit<Answer>(query: CompiledQuery, running: Promise<Answer>): Promise<Answer> {
    return (await within(this.#timeoutMs, running)) ?? this.#cancel(query, running)
  }

  async #cancel<Answer>(query: CompiledQuery, running: Promise<Answer>): Promise<Answer> {
    const settled = running.then(
      (result) => ({ result, error: undefined }),
      (error: unknown) => ({ result: undefined, error }),
    )
    const cancellation = new Cancellation()
    // While it waits for a connection of its own, the query may end; sent after that, it would hit the next one.
    void settled.then(() => {
      cancellation.wanted = false
    })
    const cancelling = this.#askServer(cancellation).catch(() => {})
    let outcome = await within(graceMs, settled)
    if (outcome === undefined) {
      controlOf(this.#connection)?.destroy()
      outcome = await within(graceMs, settled)
    }
    const answered = cancellation.sent
      ? within(
          graceMs,
          cancelling.then(() => true),
        )
      : true
    if (outcome === undefined || !(await answered)) this.#keepBusy(Promise.all([settled, cancelling]))
    else await this.#takeLateCancellation()
    // A write that was done before the server was asked is done: to call it failed would be a lie.
    if (outcome?.result !== undefined && query.query.kind !== 'SelectQueryNode' && !/^\s*select\b/i.test(query.sql)) {
      return outcome.result
    }
    const message = `The query took longer than ${this.#timeoutMs} ms and was cancelled`
    throw new QueryTimeoutError(message, { cause: outcome?.error })
  }

  /** The connection is not fit for anybody until the promise settles. */
  #keepBusy(until: Promise<unknown>): void {
    // Kysely runs one query after another on a connection, so there is no other one that keeps it busy.
    this.busy = until.finally(() => {
      this.busy = undefined
    })
  }

  async #askServer(cancellation: Cancellation): Promise<void> {
    const control: ConnectionControl | undefined = controlOf(this.#connection)
    if (control !== undefined) return control.cancel(() => cancellation.send())
    const { borrow, dialect } = this.#instruments
    if (this.#connection.cancelQuery !== undefined) {
      // Kysely looks itself whether the query still runs before it sends.
      cancellation.sent = true
      return this.#connection.cancelQuery((use) => borrow((execute) => use({ executeQuery: execute } as never)))
    }
    const statement =
      dialect === 'postgres' ? `select pg_cancel_backend(${this.#sessionId})` : `kill query ${this.#sessionId}`
    await borrow(async (execute) => {
      if (cancellation.send()) await execute(Compiled.raw(statement))
    })
  }

  async #takeLateCancellation(): Promise<void> {
    await within(
      graceMs,
      this.#run(Compiled.raw('select 1')).catch(() => {}),
    )
  }

  /** Finds out whom to cancel, once per connection. */
  async #identify(): Promise<void> {
    this.#sessionId = 0
    if (controlOf(this.#connection) !== undefined) return
    if (this.#connection.collectSessionInfo !== undefined) return this.#connection.collectSessionInfo()
    const { dialect } = this.#instruments
    const id = dialect === 'postgres' ? 'pg_backend_pid()' : 'connection_id()'
    const { rows } = await this.#run(Compiled.raw(`select ${id} as id`))
    this.#sessionId = Number((rows[0] as { id?: unknown } | undefined)?.id)
  }
}

type Parts = AsyncGenerator<QueryResult<unknown>, void, void>

/** What connections of Kysely 0.29 can do by themselves. */
interface NativeCancellation {
  collectSessionInfo?(): Promise<void>
  cancelQuery?(provide: (use: (connection: never) => Promise<void>) => Promise<void>): Promise<void>
}

/** One request to the server, which takes a while to be sent. */
class Cancellation {
  wanted = true
  sent = false

  /** Whether it is to be sent, asked immediately before. */
  send(): boolean {
    if (this.wanted) this.sent = true
    return this.wanted
  }
}
