import { performance } from 'node:perf_hooks'
import type { DatabaseConnection, Driver, TransactionSettings } from 'kysely'
import { wait } from '../../shared/scope/wait-names.ts'
import { holdLoop } from '../../shared/scope/waits.ts'
import { currentReads } from '../../shared/scope/work.ts'
import { AbandonedConnection, type PendingConnection } from '../cancel/abandoned-connection.ts'
import { type ConnectionControl, requestConnection, setControl } from '../cancel/connection-control.ts'
import type { AcquireOptions, Execute } from '../execute.ts'
import type { Instrumentation } from '../instrumentation.ts'
import { currentScope, type QueryScope } from '../n-plus-one/query-scope.ts'
import { ConnectionMutex } from './connection-mutex.ts'
import { instrumentConnection } from './instrumented-connection.ts'
import { realConnection } from './stand-in.ts'

type SavepointMethod = 'savepoint' | 'rollbackToSavepoint' | 'releaseSavepoint'

/**
 * Wraps a dialect's driver. Drivers keep private state on their connections. So each connection stays the same object and
 * is patched once, as Kysely's own `log` does.
 */
export class InstrumentedDriver implements Driver {
  readonly #inner: Driver
  readonly #instrumentation: Instrumentation
  readonly #onDestroy: () => void
  /** Set when the dialect has a single connection. */
  readonly #mutex: ConnectionMutex | undefined
  /**
   * Uses of connections that the caller of `destroy` does not know about. If the pool were closed during such a use, it
   * might never end (postgres.js) or fail.
   */
  readonly #unknownUses = new Set<Promise<void>>()
  // Present only if the wrapped driver has them: Kysely tests for these methods.
  readonly savepoint?: NonNullable<Driver['savepoint']>
  readonly rollbackToSavepoint?: NonNullable<Driver['rollbackToSavepoint']>
  readonly releaseSavepoint?: NonNullable<Driver['releaseSavepoint']>

  constructor(inner: Driver, instrumentation: Instrumentation, hasSingleConnection: boolean, onDestroy: () => void) {
    this.#inner = inner
    this.#onDestroy = onDestroy
    this.#instrumentation = instrumentation
    this.#mutex = hasSingleConnection ? new ConnectionMutex() : undefined
    if (inner.savepoint) this.savepoint = this.#onReal('savepoint')
    if (inner.rollbackToSavepoint) this.rollbackToSavepoint = this.#onReal('rollbackToSavepoint')
    if (inner.releaseSavepoint) this.releaseSavepoint = this.#onReal('releaseSavepoint')
  }

  init(...options: Parameters<Driver['init']>): Promise<void> {
    return this.#inner.init(...options)
  }

  acquireConnection(options?: AcquireOptions): Promise<DatabaseConnection> {
    const { abandonment } = this.#instrumentation
    if (abandonment === undefined) return this.#take(options).connection
    return abandonment.acquire({
      take: () => this.#take(options),
      release: (connection) => this.releaseConnection(connection, options),
    })
  }

  #take(options: AcquireOptions): PendingConnection {
    const pending: { connection?: Promise<DatabaseConnection>; leave(): void } = { leave() {} }
    const onQueued = (leave: () => void) => {
      pending.leave = leave
    }
    const locked = this.#mutex?.lock()
    const acquired =
      locked === undefined ? this.#acquire(options, onQueued) : locked.then(() => this.#acquire(options, onQueued))
    const { observer, strayQueries, timesAcquisition } = this.#instrumentation
    const scope = currentScope()
    if (scope?.holdsTransaction(this.#instrumentation)) strayQueries.watchWait(scope, observer.builtShape(), acquired)
    const instrumented = timesAcquisition
      ? this.#instrumentTimed(acquired)
      : acquired.then(this.#instrument, this.#onRefused)
    const connection = scope === undefined ? instrumented : timeWait(scope, instrumented)
    return { connection, leave: () => pending.leave() }
  }

  readonly #instrument = (connection: DatabaseConnection): DatabaseConnection | Promise<never> => {
    try {
      instrumentConnection(connection, this.#instrumentation).addCaller()
    } catch (error) {
      return this.#refuse(connection, error)
    }
    return connection
  }

  /** Gives back a connection that cannot be patched, such as a frozen one. Otherwise the next callers would wait for ever. */
  async #refuse(connection: DatabaseConnection, error: unknown): Promise<never> {
    await this.#inner.releaseConnection(connection).finally(this.#unlock)
    throw error
  }

  readonly #onRefused = (error: unknown): never => {
    this.#mutex?.unlock()
    currentReads()?.addFailure()
    throw error
  }

  readonly #unlock = () => this.#mutex?.unlock()

  async #instrumentTimed(acquired: Promise<DatabaseConnection>): Promise<DatabaseConnection> {
    const startedAt = performance.now()
    const connection = await this.#instrument(await acquired.catch(this.#onRefused))
    instrumentConnection(connection, this.#instrumentation).setAcquireMs(performance.now() - startedAt)
    return connection
  }

  #acquire(options: AcquireOptions, onQueued: (leave: () => void) => void): Promise<DatabaseConnection> {
    const { cancels } = this.#instrumentation
    if (!cancels) return this.#inner.acquireConnection(options)
    let control: ConnectionControl | undefined
    const onControl = (given: ConnectionControl) => {
      control = given
    }
    const acquired = requestConnection({ onControl, onQueued }, () => this.#inner.acquireConnection(options))
    return acquired.then((connection) => {
      if (control !== undefined) setControl(connection, control)
      return connection
    })
  }

  releaseConnection(connection: DatabaseConnection, options?: AcquireOptions): Promise<void> {
    if (connection instanceof AbandonedConnection) return connection.release()
    const instrumented = instrumentConnection(connection, this.#instrumentation)
    instrumented.endUse()
    const running = instrumented.stillRunning
    if (running !== undefined) {
      // A query that could not be cancelled still runs. Its connection is given back to the pool only when the query has
      // ended. It may be in a transaction, whose ROLLBACK could not be sent.
      const rolledBack = running.then(() => this.#inner.rollbackTransaction(connection)).catch(() => {})
      this.#awaitInDestroy(rolledBack.then(() => this.releaseConnection(connection, options)))
      return Promise.resolve()
    }
    instrumented.removeCaller()
    const released = this.#inner.releaseConnection(connection, options)
    if (this.#mutex !== undefined) released.then(this.#unlock, this.#unlock)
    return released
  }

  async beginTransaction(given: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    const connection = await realConnection(given)
    await this.#inner.beginTransaction(connection, settings)
    // The driver of SQL Server sends no SQL to begin a transaction, so the SQL alone does not show every transaction.
    instrumentConnection(connection, this.#instrumentation).recordBegin()
  }

  async commitTransaction(given: DatabaseConnection): Promise<void> {
    const connection = await realConnection(given)
    await this.#inner.commitTransaction(connection)
    await instrumentConnection(connection, this.#instrumentation).recordCommit()
  }

  async rollbackTransaction(given: DatabaseConnection): Promise<void> {
    const connection = await realConnection(given)
    const instrumented = instrumentConnection(connection, this.#instrumentation)
    // While a query still runs, the release of the connection rolls back.
    if (instrumented.stillRunning === undefined) await this.#inner.rollbackTransaction(connection)
    instrumented.recordRollback()
  }

  #onReal(method: SavepointMethod): NonNullable<Driver[SavepointMethod]> {
    return async (connection, ...rest) => this.#inner[method]?.(await realConnection(connection), ...rest)
  }

  async destroy(...options: Parameters<Driver['destroy']>): Promise<void> {
    this.#onDestroy()
    await Promise.all(this.#unknownUses)
    await this.#inner.destroy(...options)
  }

  #awaitInDestroy(use: Promise<unknown>): void {
    const ended = use.then(
      () => {},
      () => {},
    )
    this.#unknownUses.add(ended)
    void ended.then(() => this.#unknownUses.delete(ended))
  }

  /** Lends a separate connection for our own statements, which bypass the observer. */
  async withOwnConnection<Result>(use: (execute: Execute) => Promise<Result>): Promise<Result> {
    await this.#mutex?.lock()
    try {
      const used = this.#useOnce(await this.#inner.acquireConnection(), use)
      this.#awaitInDestroy(used)
      return await used
    } finally {
      this.#mutex?.unlock()
    }
  }

  async #useOnce<Result>(connection: DatabaseConnection, use: (execute: Execute) => Promise<Result>): Promise<Result> {
    try {
      return await use(instrumentConnection(connection, this.#instrumentation).executeUnobserved)
    } finally {
      await this.#inner.releaseConnection(connection)
    }
  }
}

/** Counts the time until the connection is there as a wait for the pool. */
function timeWait({ request }: QueryScope, acquired: Promise<DatabaseConnection>): Promise<DatabaseConnection> {
  const { waits } = request
  waits.begin(wait.pool, performance.now())
  const end = () => {
    const now = performance.now()
    waits.end(wait.pool, now)
    holdLoop(waits, now)
  }
  return acquired.then(
    (connection) => {
      end()
      return connection
    },
    (error) => {
      end()
      throw error
    },
  )
}
