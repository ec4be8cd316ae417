import { performance } from 'node:perf_hooks'
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import type { Reads } from '../../shared/scope/reads.ts'
import { wait } from '../../shared/scope/wait-names.ts'
import { holdLoop } from '../../shared/scope/waits.ts'
import { currentReads } from '../../shared/scope/work.ts'
import { type Abandonment, noRows, type Waiting } from '../cancel/abandonment.ts'
import { CancellableConnection } from '../cancel/cancellable-connection.ts'
import { classifyError } from '../classify-error.ts'
import type { Chunks, Execute } from '../execute.ts'
import type { Instrumentation } from '../instrumentation.ts'
import { currentScope } from '../n-plus-one/query-scope.ts'
import type { RunningQuery } from '../query-observer.ts'
import { withStatementLimit } from '../sqlite/cached-statements.ts'
import type { Statement } from '../statistics/query-statistics.ts'
import { TransactionState } from '../transactions/transaction-state.ts'
import { NamedStatements } from './named-statements.ts'
import { QueryTimeout } from './query-timeout.ts'

const instrumented = Symbol('posthaste')

/** Patches the connection when it is new, and returns its instrumentation. */
export function instrumentConnection(
  connection: DatabaseConnection,
  instrumentation: Instrumentation,
): InstrumentedConnection {
  const holder = connection as { [instrumented]?: InstrumentedConnection }
  const known = holder[instrumented]
  if (known !== undefined) return known
  const added = new InstrumentedConnection(connection, instrumentation)
  Object.defineProperty(holder, instrumented, { value: added })
  return added
}

/** One connection, patched in place: every query through it is observed. */
export class InstrumentedConnection {
  /** The connection's original `executeQuery`, for our own statements. */
  readonly executeUnobserved: Execute
  /** As {@link executeUnobserved}, with the user's timeout: for our own statements for which a caller waits. */
  readonly executeUnrecorded: Execute
  readonly #transaction: TransactionState
  readonly #instrumentation: Instrumentation
  /** Set when queries may be cancelled. */
  readonly #cancellable: CancellableConnection | undefined
  #acquireMs = 0
  #callers = 0

  constructor(connection: DatabaseConnection, instrumentation: Instrumentation) {
    const { dialect, dialectNumber, statementLimit, timeoutMs, cancels } = instrumentation
    this.#instrumentation = instrumentation
    this.#transaction = new TransactionState(instrumentation)
    const execute = connection.executeQuery.bind(connection) as Execute
    // Kysely awaits the answer, so a driver may also return the result itself.
    this.executeUnobserved = (query, options) => Promise.resolve(execute(query, options))
    let run = this.executeUnobserved
    if (statementLimit > 0 && dialect === 'sqlite') run = cacheStatements(run, instrumentation)
    if (statementLimit > 0 && dialect === 'postgres') {
      run = new NamedStatements(run, statementLimit, this.#transaction, dialectNumber).execute
    }
    // Drivers in JavaScript may have no streams.
    let stream = connection.streamQuery?.bind(connection) as StreamQuery | undefined
    if (cancels) this.#cancellable = new CancellableConnection(connection, this.executeUnobserved, instrumentation)
    if (this.#cancellable !== undefined && timeoutMs !== undefined) {
      const timeout = new QueryTimeout(this.#cancellable, run, timeoutMs)
      const unlimited = stream
      run = timeout.execute
      if (unlimited !== undefined) stream = (query, ...rest) => timeout.stream(query, () => unlimited(query, ...rest))
    }
    this.executeUnrecorded = run
    connection.executeQuery = ((query, options) => this.#execute(query, options)) as typeof connection.executeQuery
    if (stream === undefined) return
    const open = stream
    connection.streamQuery = ((query: CompiledQuery, ...rest: unknown[]) =>
      this.#stream(query, () => open(query, ...rest))) as typeof connection.streamQuery
  }

  /** Counts a caller who has got the connection. */
  addCaller(): void {
    this.#callers += 1
    if (this.#callers > 1) this.#cancellable?.recordShared()
  }

  /** Call it when a caller has given the connection back. */
  removeCaller(): void {
    this.#callers -= 1
  }

  /** Sets how long the caller has waited for this connection. */
  setAcquireMs(acquireMs: number): void {
    this.#acquireMs = acquireMs
  }

  /** Settles when the query that still runs on the connection has ended. */
  get stillRunning(): Promise<unknown> | undefined {
    return this.#cancellable?.stillRunning
  }

  /** Ends the caller's use of the connection, and its transaction if one is still open. */
  endUse(): void {
    if (this.#transaction.isOpen) this.#transaction.end()
  }

  recordBegin(): void {
    this.#transaction.begin(currentScope())
  }

  /** @returns a promise while the cache invalidates the changed tables */
  recordCommit(): Promise<void> | undefined {
    const tables = this.#transaction.end()
    return this.#instrumentation.invalidation?.invalidate(tables)
  }

  recordRollback(): void {
    this.#transaction.rollback()
  }

  #execute(query: CompiledQuery, options: unknown): Promise<QueryResult<unknown>> {
    let running: RunningQuery
    try {
      running = this.#recordStart(query)
    } catch (error) {
      return Promise.reject(error)
    }
    let result: Promise<QueryResult<unknown>>
    try {
      const waiting = this.#instrumentation.abandonment?.waitingFor(running, options)
      result =
        waiting === undefined
          ? this.executeUnrecorded(query, options)
          : this.#executeWhileAwaited(waiting, query, options)
    } catch (error) {
      return this.#fail(running, error, false)
    }
    return result.then(
      (result) => this.#succeed(running, result),
      (error) => this.#fail(running, error, false),
    )
  }

  async #executeWhileAwaited(waiting: Waiting, query: CompiledQuery, options: unknown): Promise<QueryResult<unknown>> {
    const abandonment = this.#instrumentation.abandonment as Abandonment
    abandonment.refuseIfAbandoned(waiting)
    const preparing = this.#cancellable?.prepare()
    if (preparing !== undefined) {
      await preparing
      abandonment.refuseIfAbandoned(waiting)
    }
    const cancellable = this.#cancellable
    const running = this.executeUnrecorded(query, options)
    return abandonment.limit(waiting, running, cancellable && (() => cancellable.cancel(running)), noRows)
  }

  async *#stream(query: CompiledQuery, open: () => ReturnType<StreamQuery>): ReturnType<StreamQuery> {
    const running = this.#recordStart(query, true)
    let rows = 0
    let hasFailed = false
    try {
      const waiting = this.#instrumentation.abandonment?.waitingFor(running, undefined)
      for await (const chunk of this.#readChunks(open(), running, waiting)) {
        rows += chunk.rows.length
        yield chunk
      }
    } catch (error) {
      hasFailed = true
      await this.#fail(running, error, true)
    } finally {
      if (!hasFailed) {
        this.#instrumentation.observer.recordEnd(running, rows, true)
        await this.#followTransaction(running)
      }
    }
  }

  /** Waits for each chunk as for a query. The time that the reader takes between chunks does not count as database time. */
  async *#readChunks(chunks: Chunks, { scope }: RunningQuery, waiting: Waiting | undefined): Chunks {
    const { abandonment } = this.#instrumentation
    const waits = scope?.request.waits
    const cancellable = this.#cancellable
    if (waiting !== undefined) await cancellable?.prepare()
    const next = async () => {
      waits?.begin(wait.database, performance.now())
      try {
        const chunk = chunks.next()
        if (waiting === undefined || abandonment === undefined) return await chunk
        const cancel = cancellable && (() => cancellable.cancelStream(chunk, chunks))
        return await abandonment.limit(waiting, chunk, cancel, { done: true, value: undefined })
      } finally {
        if (waits !== undefined) {
          const now = performance.now()
          waits.end(wait.database, now)
          holdLoop(waits, now)
        }
      }
    }
    // Runs only when the reader leaves. After a failure, the stream is closed already, or closing it would hang.
    const close = () => {
      if (waiting === undefined || abandonment === undefined || cancellable === undefined) return chunks.return()
      return abandonment.closeStream(waiting, cancellable, chunks)
    }
    yield* { [Symbol.asyncIterator]: () => ({ next, return: close }) }
  }

  #recordStart(query: CompiledQuery, streamed = false): RunningQuery {
    const instrumentation = this.#instrumentation
    const inTransaction = this.#transaction.isOpen
    const running = instrumentation.observer.recordStart(query, this.#acquireMs, inTransaction, streamed)
    // Only the first query on the connection has waited for it.
    this.#acquireMs = 0
    const { scope, statement, repeated } = running
    const reads = currentReads()
    if (reads !== undefined && statement.control === undefined) this.#recordReads(reads, statement)
    if (inTransaction && repeated !== undefined) this.#transaction.addRun(repeated)
    if (scope !== undefined && !inTransaction && statement.control === undefined) {
      if (scope.holdsTransaction(instrumentation)) instrumentation.strayQueries.recordRun(scope, statement.shape.text)
    }
    return running
  }

  /** Tells the load or request around the query which tables its result depends on. */
  #recordReads(reads: Reads, { tables, hasUnknownTables, shape }: Statement): void {
    if (hasUnknownTables) reads.addUnknown(`raw SQL ran, whose tables cannot be told: ${shape.text}`)
    for (const table of tables) reads.addTable(table)
    if (!this.#transaction.isOpen) return
    for (const part of reads.chain()) {
      if (part.includes(this.#transaction.reads)) continue
      // The transaction's snapshot may be older than the work.
      part.unknown ??= 'it read in a transaction that had begun before'
      part.isUncommitted = true
    }
  }

  #succeed(running: RunningQuery, result: QueryResult<unknown>): QueryResult<unknown> | Promise<QueryResult<unknown>> {
    this.#instrumentation.observer.recordEnd(running, result.rows.length, false)
    const { control, writes, commitsFirst } = running.statement
    if (control === undefined && writes.length === 0 && !commitsFirst) return result
    const invalidated = this.#followTransaction(running)
    return invalidated === undefined ? result : invalidated.then(() => result)
  }

  async #fail(running: RunningQuery, error: unknown, streamed: boolean): Promise<never> {
    this.#instrumentation.observer.recordEnd(running, 0, streamed, error)
    const { dialect, invalidation } = this.#instrumentation
    if (running.statement.writes.length === 0) currentReads()?.addFailure()
    if (!running.inTransaction && running.repeated !== undefined && classifyError(error, dialect).retry !== 'no') {
      running.repeated.forgetRuns(1)
    }
    // The failed statement may already have committed the changes before it, or may never have begun.
    if (running.statement.commitsFirst) await invalidation?.invalidate(this.#transaction.changedTables)
    await invalidation?.afterFailure(running.statement, this.#transaction, error, this.stillRunning)
    throw error
  }

  /**
   * Updates the state of the transaction after a statement.
   *
   * @returns a promise while the cache invalidates the changed tables
   */
  #followTransaction({ statement, scope }: Pick<RunningQuery, 'statement' | 'scope'>): Promise<void> | undefined {
    const { control, commitsFirst, writes } = statement
    const transaction = this.#transaction
    if (commitsFirst && transaction.isOpen) {
      const committed = this.recordCommit()
      const followed = this.#followTransaction({ statement, scope })
      return committed === undefined ? followed : committed.then(() => followed)
    }
    const { dialect, invalidation } = this.#instrumentation
    const isCommit = control !== undefined && transaction.isCommittedBy(control)
    if (control?.kind === 'savepoint' && dialect === 'sqlite') transaction.begin(scope, true)
    if (control?.kind === 'begin') transaction.begin(scope)
    else if (control?.kind === 'rollback') transaction.rollback()
    else if (control !== undefined && !isCommit) transaction.followSavepoint(control)
    const invalidated = invalidation?.afterSuccess(writes, isCommit, transaction)
    if (isCommit) transaction.end()
    if (control?.chains) transaction.begin(scope)
    return invalidated
  }
}

/** `streamQuery` of a connection. */
type StreamQuery = (query: CompiledQuery, ...rest: unknown[]) => Chunks

/** Allows our own SQLite databases to cache statements while they prepare the query's statement. */
function cacheStatements(run: Execute, { statementLimit, onUnreachableCache }: Instrumentation): Execute {
  return (query, options) => {
    const { result, isReached } = withStatementLimit(statementLimit, () => run(query, options))
    if (!isReached) onUnreachableCache?.()
    return result
  }
}
