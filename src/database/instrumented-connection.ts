import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { withStatementCache } from './cached-statements.ts'
import type { Execute } from './execute.ts'
import type { Instruments } from './instruments.ts'
import { NamedStatements } from './named-statements.ts'
import type { RunningQuery } from './query-observer.ts'
import { QueryTimeout } from './query-timeout.ts'
import { TransactionState } from './transaction-state.ts'

const key = Symbol('posthaste')

/** What observes the connection; it is patched when it is seen first. */
export function instrumented(connection: DatabaseConnection, instruments: Instruments): InstrumentedConnection {
  const holder = connection as { [key]?: InstrumentedConnection }
  const known = holder[key]
  if (known !== undefined) return known
  const added = new InstrumentedConnection(connection, instruments)
  Object.defineProperty(holder, key, { value: added })
  return added
}

/** One connection, patched in place: every query through it is observed. */
export class InstrumentedConnection {
  /** The connection's own `executeQuery`, for our own statements. */
  readonly raw: Execute
  readonly transaction: TransactionState
  readonly #instruments: Instruments
  readonly #run: Execute
  readonly #timeout: QueryTimeout | undefined
  #acquireMs = 0

  constructor(connection: DatabaseConnection, instruments: Instruments) {
    const { dialect, statements, timeoutMs } = instruments
    this.#instruments = instruments
    this.transaction = new TransactionState(instruments)
    this.raw = connection.executeQuery.bind(connection) as Execute
    let run = this.raw
    if (statements > 0 && dialect === 'sqlite') run = cacheStatements(run, instruments)
    if (statements > 0 && dialect === 'postgres') run = new NamedStatements(run, statements, this.transaction).execute
    let stream = connection.streamQuery.bind(connection) as Stream
    if (timeoutMs !== undefined) {
      const timeout = new QueryTimeout(connection, run, timeoutMs, instruments)
      const unlimited = stream
      this.#timeout = timeout
      run = timeout.execute
      stream = (query, ...rest) => timeout.stream(query, () => unlimited(query, ...rest))
    }
    this.#run = run
    connection.executeQuery = ((query, options) => this.#execute(query, options)) as typeof connection.executeQuery
    connection.streamQuery = ((query: CompiledQuery, ...rest: unknown[]) =>
      this.#stream(query, () => stream(query, ...rest))) as typeof connection.streamQuery
  }

  /** Somebody took the connection. */
  acquired(waitedMs: number): void {
    this.#acquireMs = waitedMs
  }

  /** Somebody gave it back; a promise when a query is still running on it. */
  released(): Promise<unknown> | undefined {
    if (this.transaction.open) this.transaction.end()
    return this.#timeout?.busy
  }

  /** The driver has committed, with or without SQL. */
  committed(): Promise<void> | undefined {
    const tables = this.transaction.end()
    return this.#instruments.invalidation?.tell(tables)
  }

  #execute(query: CompiledQuery, options: unknown): Promise<QueryResult<unknown>> {
    let running: RunningQuery
    try {
      running = this.#starts(query)
    } catch (error) {
      return Promise.reject(error)
    }
    let result: Promise<QueryResult<unknown>>
    try {
      result = this.#run(query, options)
    } catch (error) {
      return this.#failed(running, error, false)
    }
    return result.then(
      (result) => this.#succeeded(running, result),
      (error) => this.#failed(running, error, false),
    )
  }

  async *#stream(query: CompiledQuery, open: () => ReturnType<Stream>): ReturnType<Stream> {
    const running = this.#starts(query)
    let rows = 0
    let failure: { readonly error: unknown } | undefined
    try {
      for await (const chunk of open()) {
        rows += chunk.rows.length
        yield chunk
      }
    } catch (error) {
      failure = { error }
      await this.#failed(running, error, true)
    } finally {
      if (failure === undefined) {
        this.#instruments.observer.ended(running, rows, true)
        await this.#settle(running)
      }
    }
  }

  #starts(query: CompiledQuery): RunningQuery {
    const instruments = this.#instruments
    const inTransaction = this.transaction.open
    const running = instruments.observer.starts(query, this.#acquireMs, inTransaction)
    // Only the first query has waited for its connection.
    this.#acquireMs = 0
    const { scope, statement } = running
    if (scope !== undefined && !inTransaction && statement.control === undefined) {
      if (scope.holdsTransaction(instruments)) instruments.outside.ran(scope, statement.shape.text)
    }
    return running
  }

  #succeeded(
    running: RunningQuery,
    result: QueryResult<unknown>,
  ): QueryResult<unknown> | Promise<QueryResult<unknown>> {
    this.#instruments.observer.ended(running, result.rows.length, false)
    const { control, shape } = running.statement
    if (control === undefined && shape.writes.length === 0) return result
    const settled = this.#settle(running)
    return settled === undefined ? result : settled.then(() => result)
  }

  async #failed(running: RunningQuery, error: unknown, streamed: boolean): Promise<never> {
    this.#instruments.observer.ended(running, 0, streamed, error)
    await this.#instruments.invalidation?.afterFailure(running.statement, this.transaction, error)
    throw error
  }

  /** Follows the transaction; a promise when the cache is being told. */
  #settle({ statement, scope }: RunningQuery): Promise<void> | undefined {
    const { control } = statement
    if (control?.kind === 'begin') this.transaction.begin(scope)
    else if (control?.kind === 'rollback') this.transaction.end()
    else if (control !== undefined && control.kind !== 'commit') this.transaction.move(control)
    if (this.#instruments.invalidation !== undefined)
      return this.#instruments.invalidation.after(statement, this.transaction)
    if (control?.kind === 'commit') this.transaction.end()
    return undefined
  }
}

/** `streamQuery` of a connection. */
type Stream = (query: CompiledQuery, ...rest: unknown[]) => AsyncGenerator<QueryResult<unknown>, void, void>

/** Lets our own SQLite databases know, while they prepare the statement, how many they may keep. */
function cacheStatements(run: Execute, { statements, onUnreachableCache }: Instruments): Execute {
  return (query, options) => {
    const { result, reached } = withStatementCache(statements, () => run(query, options))
    if (!reached) onUnreachableCache?.()
    return result
  }
}
