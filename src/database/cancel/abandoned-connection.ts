import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { StandIn } from '../driver/stand-in.ts'
import type { Execute } from '../execute.ts'

/** How a connection is taken from the pool. */
export interface Acquisition {
  take(): PendingConnection
  release(connection: DatabaseConnection): Promise<void>
}

export interface PendingConnection {
  readonly connection: Promise<DatabaseConnection>
  /** Leaves the pool's queue. If the pool cannot do that, the connection is given back as soon as it comes. */
  leave(): void
}

/**
 * Stands in for a connection when nobody waits for the running code any more. A query that is refused gets no connection.
 * Any other query takes a real one, and waits for it as usual.
 */
export class AbandonedConnection extends StandIn implements DatabaseConnection {
  readonly #acquisition: Acquisition
  readonly #refuse: (query: CompiledQuery) => Error | undefined
  #pending: PendingConnection | undefined
  #real: Promise<DatabaseConnection> | undefined

  /** @param pending - the place in the pool's queue, if there is one */
  constructor(
    acquisition: Acquisition,
    pending: PendingConnection | undefined,
    refuse: (query: CompiledQuery) => Error | undefined,
  ) {
    super()
    this.#acquisition = acquisition
    this.#pending = pending
    this.#refuse = refuse
  }

  /** Kysely tests for this method before a query that it may have to cancel. */
  async cancelQuery(provide: never): Promise<void> {
    const real = (await this.takeReal()) as { cancelQuery?(provide: never): Promise<void> }
    await real.cancelQuery?.(provide)
  }

  takeReal(): Promise<DatabaseConnection> {
    this.#real ??= (this.#pending ?? this.#acquisition.take()).connection
    this.#pending = undefined
    return this.#real
  }

  async release(): Promise<void> {
    this.#leave()
    if (this.#real === undefined) return
    const real = await this.#real.catch(() => undefined)
    if (real !== undefined) await this.#acquisition.release(real)
  }

  async executeQuery<Row>(query: CompiledQuery, options?: unknown): Promise<QueryResult<Row>> {
    this.#refuseOrStay(query)
    return ((await this.takeReal()).executeQuery as Execute)(query, options) as Promise<QueryResult<Row>>
  }

  async *streamQuery<Row>(query: CompiledQuery, ...rest: [chunkSize: number]): AsyncIterableIterator<QueryResult<Row>> {
    this.#refuseOrStay(query)
    yield* (await this.takeReal()).streamQuery<Row>(query, ...rest)
  }

  #refuseOrStay(query: CompiledQuery): void {
    if (this.#real !== undefined) return
    const reason = this.#refuse(query)
    if (reason === undefined) return
    this.#leave()
    throw reason
  }

  #leave(): void {
    const pending = this.#pending
    this.#pending = undefined
    if (pending === undefined) return
    pending.connection.then(
      (connection) => this.#acquisition.release(connection),
      () => {},
    )
    pending.leave()
  }
}
