import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import type { Execute } from '../instrumentation.ts'
import type { AutoBatch } from './auto-batch.ts'
import type { AcquireOptions, ConnectionSource } from './lookup.ts'

type Cancel = (provide: never) => Promise<void>

/** Methods of connections since Kysely 0.29. */
interface Cancellable {
  collectSessionInfo?(): Promise<void>
  cancelQuery?: Cancel
  killSession?: Cancel
}

/** What Kysely holds. Lookups wait for others; anything else takes a real connection and keeps it until the release. */
export class LazyConnection implements DatabaseConnection, Cancellable {
  readonly #batch: AutoBatch
  readonly #source: ConnectionSource
  #built: CompiledQuery | undefined
  #options: AcquireOptions
  #taking: Promise<DatabaseConnection> | undefined
  #real: DatabaseConnection | undefined
  // Not there on a single connection: Kysely tests for these methods.
  readonly cancelQuery?: Cancel
  readonly killSession?: Cancel

  constructor(batch: AutoBatch, source: ConnectionSource) {
    this.#batch = batch
    this.#source = source
    if (source.isSerial) return
    this.cancelQuery = async (provide) => (await this.#cancellable()).cancelQuery?.(provide)
    this.killSession = async (provide) => (await this.#cancellable()).killSession?.(provide)
  }

  /** @param built - the query for which the connection is requested */
  open(built: CompiledQuery | undefined, options: AcquireOptions): void {
    this.#built = built
    this.#options = options
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
    this.#real = await this.#taking
    return this.#real
  }

  executeQuery<Row>(query: CompiledQuery, options?: unknown): Promise<QueryResult<Row>> {
    return this.#execute(query, options) as Promise<QueryResult<Row>>
  }

  async *streamQuery<Row>(
    ...parameters: Parameters<DatabaseConnection['streamQuery']>
  ): AsyncIterableIterator<QueryResult<Row>> {
    yield* (await this.takeReal()).streamQuery<Row>(...parameters)
  }

  /** Kysely asks for it before a query that it may have to cancel, so such a query runs on a connection of its own. */
  async collectSessionInfo(): Promise<void> {
    await (await this.#cancellable()).collectSessionInfo?.()
  }

  #execute(query: CompiledQuery, options: unknown): Promise<QueryResult<unknown>> {
    if (this.#real !== undefined) return (this.#real.executeQuery as Execute)(query, options)
    if (this.#taking === undefined && this.#batch.isLookup(query, this.#built)) {
      this.#built = undefined
      return this.#batch.ask(query, options, this.#options)
    }
    return this.takeReal().then((real) => (real.executeQuery as Execute)(query, options))
  }

  async #cancellable(): Promise<Cancellable> {
    return (await this.takeReal()) as Cancellable
  }
}
