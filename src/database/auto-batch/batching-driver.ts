import type { CompiledQuery, DatabaseConnection, Driver, QueryResult, TransactionSettings } from 'kysely'
import type { InstrumentedDriver } from '../driver/instrumented-driver.ts'
import { StandIn } from '../driver/stand-in.ts'
import type { AcquireOptions, Execute } from '../execute.ts'
import type { AutoBatch } from './auto-batch.ts'
import type { ConnectionSource } from './lookup.ts'

/** Hands out connections that take a real one only when they need it, so that lookups of one turn can share one. */
export class BatchingDriver implements Driver {
  readonly #inner: InstrumentedDriver
  readonly #batch: AutoBatch
  readonly #source: ConnectionSource
  /** Connections to use again: Kysely keeps a record of every connection that it has seen. */
  readonly #free: LazyConnection[] = []
  readonly savepoint?: NonNullable<Driver['savepoint']>
  readonly rollbackToSavepoint?: NonNullable<Driver['rollbackToSavepoint']>
  readonly releaseSavepoint?: NonNullable<Driver['releaseSavepoint']>

  constructor(inner: InstrumentedDriver, batch: AutoBatch, source: ConnectionSource) {
    this.#inner = inner
    this.#batch = batch
    this.#source = source
    if (inner.savepoint) this.savepoint = inner.savepoint
    if (inner.rollbackToSavepoint) this.rollbackToSavepoint = inner.rollbackToSavepoint
    if (inner.releaseSavepoint) this.releaseSavepoint = inner.releaseSavepoint
  }

  async init(...options: Parameters<Driver['init']>): Promise<void> {
    await this.#inner.init(...options)
    this.#batch.recordReady()
  }

  acquireConnection(...given: [options?: AcquireOptions]): Promise<DatabaseConnection> {
    const [options] = given
    const built = this.#batch.takeBuilt()
    if (built !== undefined && this.#batch.beginAlone(built)) return this.#inner.acquireConnection(options)
    const connection = this.#free.pop() ?? new LazyConnection(this.#batch, this.#source)
    // Kysely 0.28 passes no argument.
    connection.open(built, options, given.length > 0 || isRequestedByQuery())
    return Promise.resolve(connection)
  }

  releaseConnection(connection: DatabaseConnection, options?: AcquireOptions): Promise<void> {
    if (connection instanceof LazyConnection) return this.#releaseLazy(connection, options)
    this.#batch.endAlone()
    return this.#inner.releaseConnection(connection, options)
  }

  beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    return this.#inner.beginTransaction(connection, settings)
  }

  commitTransaction(connection: DatabaseConnection): Promise<void> {
    return this.#inner.commitTransaction(connection)
  }

  rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    return this.#inner.rollbackTransaction(connection)
  }

  destroy(...options: Parameters<Driver['destroy']>): Promise<void> {
    return this.#inner.destroy(...options)
  }

  async #releaseLazy(connection: LazyConnection, options: AcquireOptions): Promise<void> {
    const released = connection.close(options)
    if (released !== undefined) await released
    this.#free.push(connection)
  }
}

/**
 * Whether Kysely's `executeQuery` requests the connection, not `db.connection()`. On Kysely 0.28, only the stack shows
 * it.
 */
function isRequestedByQuery(): boolean {
  const { stackTraceLimit, prepareStackTrace } = Error
  const holder: { stack?: readonly (string | null)[] } = {}
  Error.stackTraceLimit = 6
  Error.prepareStackTrace = (_, frames) => frames.map((frame) => frame.getFunctionName())
  Error.captureStackTrace(holder, isRequestedByQuery)
  const { stack = [] } = holder
  Object.assign(Error, { stackTraceLimit, prepareStackTrace })
  return stack[stack.lastIndexOf('provideConnection') + 1] === 'executeQuery'
}

type Cancel = (provide: never) => Promise<void>

/** Methods of connections since Kysely 0.29. */
interface Cancellable {
  collectSessionInfo?(): Promise<void>
  cancelQuery?: Cancel
  killSession?: Cancel
}

/**
 * The connection that Kysely gets. Lookups wait for others. Anything else takes a real connection, and keeps it until the
 * release.
 */
class LazyConnection extends StandIn implements DatabaseConnection, Cancellable {
  readonly #batch: AutoBatch
  readonly #source: ConnectionSource
  #built: CompiledQuery | undefined
  #options: AcquireOptions
  #mayBeForQuery = false
  #taking: Promise<DatabaseConnection> | undefined
  #real: DatabaseConnection | undefined
  // A single connection must not have these methods: Kysely tests whether they exist.
  readonly cancelQuery?: Cancel
  readonly killSession?: Cancel

  constructor(batch: AutoBatch, source: ConnectionSource) {
    super()
    this.#batch = batch
    this.#source = source
    if (source.isSerial) return
    this.cancelQuery = async (provide) => (await this.#cancellable()).cancelQuery?.(provide)
    this.killSession = async (provide) => (await this.#cancellable()).killSession?.(provide)
  }

  /**
   * @param built - the query for which the connection is requested, if it is for one
   * @param mayBeForQuery - `false` if the connection is requested by `db.connection()`, whose queries must run on it
   */
  open(built: CompiledQuery | undefined, options: AcquireOptions, mayBeForQuery: boolean): void {
    this.#built = built
    this.#options = options
    this.#mayBeForQuery = mayBeForQuery
  }

  /** @returns a promise while a real connection is released */
  close(options: AcquireOptions): Promise<void> | undefined {
    const taking = this.#taking
    this.#built = undefined
    this.#taking = undefined
    this.#real = undefined
    return taking?.then(
      (real) => this.#source.release(real, options),
      () => {},
    )
  }

  async takeReal(): Promise<DatabaseConnection> {
    if (this.#taking === undefined) {
      // On a single connection, queries run in the order in which they were asked for.
      if (this.#source.isSerial) this.#batch.flush()
      this.#taking = this.#source.acquire(this.#options)
    }
    const taking = this.#taking
    const real = await taking
    // A query that nobody waits for may come here after the release.
    if (this.#taking === taking) this.#real = real
    return real
  }

  executeQuery<Row>(query: CompiledQuery, options?: unknown): Promise<QueryResult<Row>> {
    return this.#execute(query, options) as Promise<QueryResult<Row>>
  }

  async *streamQuery<Row>(
    ...parameters: Parameters<DatabaseConnection['streamQuery']>
  ): AsyncIterableIterator<QueryResult<Row>> {
    yield* (await this.takeReal()).streamQuery<Row>(...parameters)
  }

  /** Kysely calls it before a query that may have to be cancelled, so such a query runs on its own connection. */
  async collectSessionInfo(): Promise<void> {
    await (await this.#cancellable()).collectSessionInfo?.()
  }

  #execute(query: CompiledQuery, options: unknown): Promise<QueryResult<unknown>> {
    if (this.#real !== undefined) return (this.#real.executeQuery as Execute)(query, options)
    // Kysely requests a query's connection with the options of the query. `db.connection()` makes new options.
    const isForQuery = this.#mayBeForQuery && options === this.#options
    if (this.#taking === undefined && isForQuery && this.#batch.isLookup(query, this.#built)) {
      this.#built = undefined
      return this.#batch.ask(query, options, this.#options)
    }
    return this.takeReal().then((real) => (real.executeQuery as Execute)(query, options))
  }

  async #cancellable(): Promise<Cancellable> {
    return (await this.takeReal()) as Cancellable
  }
}
