import { CompiledQuery, type QueryResult } from 'kysely'
import { LRUCache } from 'lru-cache'
import { classifyError } from './classify-error.ts'
import type { Execute } from './execute.ts'
import type { TransactionState } from './transaction-state.ts'

/**
 * Prepares the statements of one PostgreSQL connection under a name, so that the server parses and plans them once. A query
 * gets its name the second time it runs: lists of every length would fill the server's memory otherwise.
 */
export class NamedStatements {
  readonly #run: Execute
  readonly #transaction: TransactionState
  readonly #seen: LRUCache<string, true>
  readonly #names: LRUCache<string, string>
  readonly #evicted: string[] = []
  #count = 0

  constructor(run: Execute, max: number, transaction: TransactionState) {
    this.#run = run
    this.#transaction = transaction
    this.#seen = new LRUCache({ max: max * 2 })
    this.#names = new LRUCache({ max, dispose: (name) => this.#evicted.push(name) })
  }

  readonly execute: Execute = (query, options) => {
    // Statements without parameters may be several at once, or belong to the transaction: neither can be prepared.
    if (query.parameters.length === 0) return this.#run(query, options)
    const name = this.#names.get(query.sql) ?? this.#admit(query.sql)
    if (name === undefined) return this.#run(query, options)
    return this.#evicted.length > 0
      ? this.#forget().then(() => this.#named(query, name, options))
      : this.#named(query, name, options)
  }

  #admit(sql: string): string | undefined {
    if (!this.#seen.has(sql)) {
      this.#seen.set(sql, true)
      return undefined
    }
    this.#count += 1
    const name = `posthaste_${this.#count}`
    this.#names.set(sql, name)
    return name
  }

  #named(query: CompiledQuery, name: string, options: unknown): Promise<QueryResult<unknown>> {
    return this.#run(withName(query, name), options).catch((error) => this.#recover(query, error, options))
  }

  /** The tables changed under a prepared statement. It has not run, so outside a transaction it may run anew. */
  #recover(query: CompiledQuery, error: unknown, options: unknown): Promise<QueryResult<unknown>> {
    if (classifyError(error, 'postgres').kind !== 'stale-plan') throw error
    this.#names.delete(query.sql)
    if (this.#transaction.open) throw error
    return this.#run(query, options)
  }

  async #forget(): Promise<void> {
    for (const name of this.#evicted.splice(0)) {
      // In a transaction that has failed this fails as well; the statement then lives as long as its connection.
      await this.#run(CompiledQuery.raw(`deallocate ${name}`)).catch(() => {})
    }
  }
}

/** `pg` takes `{ name, text }` where Kysely hands it the SQL text. */
function withName(query: CompiledQuery, name: string): CompiledQuery {
  const { query: node, queryId, parameters, sql: text } = query
  return { query: node, queryId, parameters, sql: { name, text } as unknown as string }
}
