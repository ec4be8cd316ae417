import type { DatabaseConnection, Driver, TransactionSettings } from 'kysely'
import { type ConnectionControl, receiveControl, setControl } from './connection-control.ts'
import type { Execute } from './execute.ts'
import { instrumented } from './instrumented-connection.ts'
import type { Instruments } from './instruments.ts'
import { currentScope } from './query-scope.ts'
import { Turns } from './turns.ts'

/** Kysely 0.29 passes a signal; 0.28 nothing. */
type AcquireOptions = Parameters<Driver['acquireConnection']>[0]

/**
 * Wraps a dialect's driver. Connections stay the objects they are, because drivers keep private state on them; each is
 * patched once, as Kysely's own log does it.
 */
export class InstrumentedDriver implements Driver {
  readonly #inner: Driver
  readonly #instruments: Instruments
  /** Where there is one connection for all. */
  readonly #turns: Turns | undefined
  // Kysely looks whether a driver has these.
  readonly savepoint?: NonNullable<Driver['savepoint']>
  readonly rollbackToSavepoint?: NonNullable<Driver['rollbackToSavepoint']>
  readonly releaseSavepoint?: NonNullable<Driver['releaseSavepoint']>

  constructor(inner: Driver, instruments: Instruments, singleConnection: boolean) {
    this.#inner = inner
    this.#instruments = instruments
    this.#turns = singleConnection ? new Turns() : undefined
    if (inner.savepoint) this.savepoint = inner.savepoint.bind(inner)
    if (inner.rollbackToSavepoint) this.rollbackToSavepoint = inner.rollbackToSavepoint.bind(inner)
    if (inner.releaseSavepoint) this.releaseSavepoint = inner.releaseSavepoint.bind(inner)
    instruments.borrow = (use) => this.#borrow(use)
  }

  init(...options: Parameters<Driver['init']>): Promise<void> {
    return this.#inner.init(...options)
  }

  acquireConnection(options?: AcquireOptions): Promise<DatabaseConnection> {
    const turn = this.#turns?.take()
    const acquired = turn === undefined ? this.#acquire(options) : turn.then(() => this.#acquire(options))
    const { observer, outside } = this.#instruments
    const scope = currentScope()
    if (scope?.holdsTransaction(this.#instruments)) outside.waits(scope, observer.next(), acquired)
    if (!this.#instruments.timesAcquisition) return acquired.then(this.#adopt, this.#refuse)
    return this.#timed(acquired).catch(this.#refuse)
  }

  readonly #adopt = (connection: DatabaseConnection): DatabaseConnection => {
    instrumented(connection, this.#instruments)
    return connection
  }

  readonly #refuse = (error: unknown): never => {
    this.#turns?.pass()
    throw error
  }

  readonly #pass = () => this.#turns?.pass()

  async #timed(acquired: Promise<DatabaseConnection>): Promise<DatabaseConnection> {
    const startedAt = performance.now()
    const connection = await acquired
    instrumented(connection, this.#instruments).acquired(performance.now() - startedAt)
    return connection
  }

  #acquire(options: AcquireOptions): Promise<DatabaseConnection> {
    if (this.#instruments.timeoutMs === undefined) return this.#inner.acquireConnection(options)
    let control: ConnectionControl | undefined
    const acquired = receiveControl(
      () => this.#inner.acquireConnection(options),
      (received) => {
        control = received
      },
    )
    return acquired.then((connection) => {
      if (control !== undefined) setControl(connection, control)
      return connection
    })
  }

  releaseConnection(connection: DatabaseConnection, options?: AcquireOptions): Promise<void> {
    const busy = instrumented(connection, this.#instruments).released()
    if (busy !== undefined) {
      // A query that could not be cancelled still runs: its connection goes back when it ends, and not before.
      busy.then(() => this.releaseConnection(connection, options)).catch(() => {})
      return Promise.resolve()
    }
    const released = this.#inner.releaseConnection(connection, options)
    if (this.#turns !== undefined) released.then(this.#pass, this.#pass)
    return released
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    await this.#inner.beginTransaction(connection, settings)
    // Drivers that send no SQL for it, as that of SQL Server, show it here only.
    instrumented(connection, this.#instruments).transaction.begin(currentScope())
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#inner.commitTransaction(connection)
    await instrumented(connection, this.#instruments).committed()
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#inner.rollbackTransaction(connection)
    instrumented(connection, this.#instruments).transaction.end()
  }

  destroy(...options: Parameters<Driver['destroy']>): Promise<void> {
    return this.#inner.destroy(...options)
  }

  /** A connection for our own statements, which are in no statistics. */
  async #borrow<Result>(use: (execute: Execute) => Promise<Result>): Promise<Result> {
    await this.#turns?.take()
    try {
      const connection = await this.#inner.acquireConnection()
      try {
        return await use(instrumented(connection, this.#instruments).raw)
      } finally {
        await this.#inner.releaseConnection(connection)
      }
    } finally {
      this.#turns?.pass()
    }
  }
}
