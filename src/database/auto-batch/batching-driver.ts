import type { DatabaseConnection, Driver, TransactionSettings } from 'kysely'
import type { InstrumentedDriver } from '../driver/instrumented-driver.ts'
import type { AutoBatch } from './auto-batch.ts'
import { LazyConnection } from './lazy-connection.ts'
import type { AcquireOptions, ConnectionSource } from './lookup.ts'

type SavepointMethod = 'savepoint' | 'rollbackToSavepoint' | 'releaseSavepoint'
type Savepoint = NonNullable<Driver[SavepointMethod]>

/** Hands out connections that take a real one only when they need it, so that lookups of one turn can share one. */
export class BatchingDriver implements Driver {
  readonly #inner: InstrumentedDriver
  readonly #batch: AutoBatch
  readonly #source: ConnectionSource
  /** Used again, because Kysely keeps a record of every connection that it has seen. */
  readonly #free: LazyConnection[] = []
  readonly savepoint?: Savepoint
  readonly rollbackToSavepoint?: Savepoint
  readonly releaseSavepoint?: Savepoint

  constructor(inner: InstrumentedDriver, batch: AutoBatch, source: ConnectionSource) {
    this.#inner = inner
    this.#batch = batch
    this.#source = source
    if (inner.savepoint) this.savepoint = this.#onReal('savepoint')
    if (inner.rollbackToSavepoint) this.rollbackToSavepoint = this.#onReal('rollbackToSavepoint')
    if (inner.releaseSavepoint) this.releaseSavepoint = this.#onReal('releaseSavepoint')
  }

  async init(...options: Parameters<Driver['init']>): Promise<void> {
    await this.#inner.init(...options)
    this.#batch.recordReady()
  }

  acquireConnection(options?: AcquireOptions): Promise<DatabaseConnection> {
    const built = this.#batch.takeBuilt()
    if (built !== undefined && this.#batch.beginAlone(built)) return this.#inner.acquireConnection(options)
    const connection = this.#free.pop() ?? new LazyConnection(this.#batch, this.#source)
    connection.open(built, options)
    return Promise.resolve(connection)
  }

  releaseConnection(connection: DatabaseConnection, options?: AcquireOptions): Promise<void> {
    if (connection instanceof LazyConnection) return this.#releaseLazy(connection, options)
    this.#batch.endAlone()
    return this.#inner.releaseConnection(connection, options)
  }

  async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    await this.#inner.beginTransaction(await realOf(connection), settings)
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#inner.commitTransaction(await realOf(connection))
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await this.#inner.rollbackTransaction(await realOf(connection))
  }

  destroy(...options: Parameters<Driver['destroy']>): Promise<void> {
    return this.#inner.destroy(...options)
  }

  async #releaseLazy(connection: LazyConnection, options: AcquireOptions): Promise<void> {
    const released = connection.close(options)
    if (released !== undefined) await released
    this.#free.push(connection)
  }

  #onReal(method: SavepointMethod): Savepoint {
    return async (connection, ...rest) => (this.#inner[method] as Savepoint)(await realOf(connection), ...rest)
  }
}

async function realOf(connection: DatabaseConnection): Promise<DatabaseConnection> {
  return connection instanceof LazyConnection ? await connection.takeReal() : connection
}
