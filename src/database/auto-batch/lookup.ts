import { AsyncResource } from 'node:async_hooks'
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { currentWork } from '../../shared/scope/work.ts'
import type { AcquireOptions, Execute } from '../execute.ts'
import { currentScope, type QueryScope } from '../n-plus-one/query-scope.ts'
import { haveSameContext } from './async-context.ts'

/** Lends connections of the instrumented driver. */
export interface ConnectionSource {
  acquire(options: AcquireOptions): Promise<DatabaseConnection>
  release(connection: DatabaseConnection, options: AcquireOptions): Promise<void>
  /** `executeQuery` of the connection, without statistics. */
  executeUnrecorded(connection: DatabaseConnection): Execute
  /** Whether there is a single connection, which serves its callers in the order of their requests. */
  readonly isSerial: boolean
}

/** A query that waits for the end of the turn. */
export class Lookup {
  readonly query: CompiledQuery
  readonly scope: QueryScope | undefined = currentScope()
  readonly promise: Promise<QueryResult<unknown>>
  // The executor of the promise assigns it at once.
  resolve!: (result: QueryResult<unknown>) => void
  reject!: (error: unknown) => void
  readonly #options: unknown
  readonly #acquireOptions: AcquireOptions
  readonly #context = new AsyncResource('posthaste.lookup')
  readonly #work = currentWork()

  constructor(query: CompiledQuery, options: unknown, acquireOptions: AcquireOptions) {
    this.query = query
    this.#options = options
    this.#acquireOptions = acquireOptions
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  /**
   * Whether both lookups may run on one connection. They must belong to the same load, if to any. If the runtime does not
   * show the values of each `AsyncLocalStorage`, they must also belong to one query scope.
   */
  canJoin(other: Lookup): boolean {
    if (this.scope !== other.scope || this.#work !== other.#work) return false
    return haveSameContext(this.#context, other.#context) ?? this.scope !== undefined
  }

  /** Runs the function in the asynchronous context of the caller: connection hooks and scopes depend on it. */
  runInContext<Result>(fn: () => Result): Result {
    return this.#context.runInAsyncScope(fn)
  }

  /**
   * Runs the query on a separate connection and settles its promise. Most lookups run like this, so it makes few
   * promises.
   *
   * @param onEnd - called when the query has ended, with whether it has failed
   */
  runSeparately(source: ConnectionSource, onEnd?: (hasFailed: boolean) => void): void {
    const succeed = (result: QueryResult<unknown>) => {
      this.resolve(result)
      onEnd?.(false)
    }
    const fail = (error: unknown) => {
      this.reject(error)
      onEnd?.(true)
    }
    const run = (connection: DatabaseConnection) => {
      // The connection is released before the caller continues, so that the caller's next query can use it.
      const release = () => source.release(connection, this.#acquireOptions)
      execute(connection, this.query, this.#options).then(
        (result) => release().then(() => succeed(result), fail),
        (error) =>
          release().then(
            () => fail(error),
            () => fail(error),
          ),
      )
    }
    // The callbacks of `then` run in the context in which `then` was called.
    this.runInContext(() => source.acquire(this.#acquireOptions).then(run, fail))
  }

  async executeOn(connection: DatabaseConnection): Promise<QueryResult<unknown>> {
    return await this.runInContext(() => execute(connection, this.query, this.#options))
  }
}

function execute(
  connection: DatabaseConnection,
  query: CompiledQuery,
  options: unknown,
): Promise<QueryResult<unknown>> {
  return (connection.executeQuery as Execute)(query, options)
}
