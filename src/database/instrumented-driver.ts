import type { DatabaseConnection, Driver, TransactionSettings } from 'kysely'
import { type ConnectionControl, receiveControl, setControl } from './connection-control.ts'
import type { Execute } from './execute.ts'
import { instrumented } from './instrumented-connection.ts'
import type { Instruments } from './instruments.ts'
import { currentScope } from './query-scope.ts'
import { Turns } from './turns.ts'

/**
 * Wraps a dialect's driver. Connections stay the objects they are, because drivers keep private state on them; each is
 * patched once, as Kysely's own log does it.
 */
export class InstrumentedDriver implements Driver {
  readonly #inner: Driver
  readonly #instruments: Instruments
  /** Where there is one connection for all, Kysely 0.29 queues its own users only; our EXPLAIN queues here as well. */
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

  acquireConnection(...options: Parameters<Driver['acquireConnection']>): Promise<DatabaseConnection> {
    const startedAt = this.#instruments.timesAcquisition ? performance.now() : undefined
    const adopt = (connection: DatabaseConnection) => {
      const taken = instrumented(connection, this.#instruments)
      if (startedAt !== undefined) taken.acquired(performance.now() - startedAt)
      return connection
    }
    const turn = this.#turns?.take()
    const acquired = turn === undefined ? this.#acquire(options) : turn.then(() => this.#acquire(options))
    if (this.#turns === undefined) return acquired.then(adopt)
    return acquired.then(adopt, (error) => {
      this.#turns?.pass()
      throw error
    })
  }

  #acquire(options: Parameters<Driver['acquireConnection']>): Promise<DatabaseConnection> {
    if (this.#instruments.timeoutMs === undefined) return this.#inner.acquireConnection(...options)
    let control: ConnectionControl | undefined
    const acquired = receiveControl(
      () => this.#inner.acquireConnection(...options),
      (received) => {
        control = received
      },
    )
    return acquired.then((connection) => {
      if (control !== undefined) setControl(connection, control)
      return connection
    })
  }

  releaseConnection(...options: Parameters<Driver['releaseConnection']>): Promise<void> {
    const busy = instrumented(options[0], this.#instruments).released()
    if (busy !== undefined) {
      // A query that could not be cancelled still runs: its connection goes back when it ends, and not before.
      busy.then(() => this.releaseConnection(...options)).catch(() => {})
      return Promise.resolve()
    }
    const released = this.#inner.releaseConnection(...options)
    this.#turns?.pass()
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
