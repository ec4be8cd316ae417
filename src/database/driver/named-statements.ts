import { CompiledQuery, type QueryResult } from 'kysely'
import { messageOf } from '../../shared/errors.ts'
import { nodeCrypto } from '../../shared/platform/builtins.ts'
import { RecentMap } from '../../shared/recent-map.ts'
import { classifyError } from '../classify-error.ts'
import type { Execute } from '../execute.ts'
import type { TransactionState } from '../transactions/transaction-state.ts'

/**
 * Prepares the statements of one PostgreSQL connection under a name, so that the server parses and plans them once. A
 * query gets its name on its second run. Otherwise `in` lists of every length would fill the server's memory.
 *
 * A query has the same name on each connection and in each process, because tracers name their spans by it.
 */
export class NamedStatements {
  readonly #run: Execute
  readonly #transaction: TransactionState
  readonly #seenSql: RecentMap<true>
  readonly #namesBySql: RecentMap<string>
  readonly #evictedNames: string[] = []
  readonly #prefix: string
  readonly #maxRemoved: number
  /** How many names were dropped. Later names contain this number, because `pg` never prepares the same name twice. */
  #removed = 0

  /**
   * @param dialectNumber - part of each name: several instrumented dialects may share a client, where a name means one
   *   statement
   */
  constructor(run: Execute, max: number, transaction: TransactionState, dialectNumber: number) {
    this.#run = run
    this.#transaction = transaction
    this.#prefix = `posthaste_${dialectNumber}_`
    this.#maxRemoved = max * 10
    this.#seenSql = new RecentMap(max * 2)
    this.#namesBySql = new RecentMap(max, (name) => {
      this.#removed += 1
      this.#evictedNames.push(name)
    })
  }

  readonly execute: Execute = (query, options) =>
    // Not in a transaction: closing a statement that was never prepared would fail, and end the transaction. So the BEGIN of
    // a transaction closes them too: a connection may run nothing but transactions.
    this.#evictedNames.length > 0 && !this.#transaction.isOpen
      ? this.#deallocateEvicted().then(() => this.#execute(query, options))
      : this.#execute(query, options)

  #execute(query: CompiledQuery, options: unknown): Promise<QueryResult<unknown>> {
    // SQL without parameters may hold several statements, or control the transaction. PostgreSQL can prepare neither.
    if (query.parameters.length === 0) return this.#run(query, options)
    const name = this.#namesBySql.get(query.sql) ?? this.#nameOnSecondRun(query.sql)
    return name === undefined ? this.#run(query, options) : this.#runNamed(query, name, options)
  }

  #nameOnSecondRun(sql: string): string | undefined {
    // `pg` keeps every name and its SQL until the connection closes.
    if (this.#removed >= this.#maxRemoved) return undefined
    if (this.#seenSql.peek(sql) === undefined) {
      this.#seenSql.set(sql, true)
      return undefined
    }
    const hash = nodeCrypto().hash('sha256', sql).slice(0, 16)
    const name = `${this.#prefix}${hash}${this.#removed === 0 ? '' : `_${this.#removed}`}`
    this.#namesBySql.set(sql, name)
    return name
  }

  #runNamed(query: CompiledQuery, name: string, options: unknown): Promise<QueryResult<unknown>> {
    return this.#run(withName(query, name), options).catch((error) => this.#recover(query, error, options))
  }

  /**
   * Runs the query again without a name if its table may have changed since it was prepared, or if its statement was closed
   * by someone else. The failed attempt did nothing.
   */
  async #recover(query: CompiledQuery, error: unknown, options: unknown): Promise<QueryResult<unknown>> {
    const isStale = codeOf(error) === '26000' || classifyError(error, 'postgres').kind === 'stale-plan'
    if (!isStale && !mayComeOfOldTypes(error)) throw error
    // The error has ended the transaction.
    const { isOpen } = this.#transaction
    if (isStale || isOpen) this.#namesBySql.delete(query.sql)
    if (isOpen) throw error
    const result = await this.#run(query, options)
    this.#namesBySql.delete(query.sql)
    return result
  }

  async #deallocateEvicted(): Promise<void> {
    for (const name of this.#evictedNames.splice(0)) {
      await this.#run(CompiledQuery.raw(`deallocate ${name}`)).catch(() => {})
    }
  }
}

/**
 * Whether the cause may be a parameter whose type a migration has replaced: a prepared statement keeps the types of its
 * parameters. PostgreSQL does not find the old type, has no operator for it, or cannot read the value as it.
 */
function mayComeOfOldTypes(error: unknown): boolean {
  const code = codeOf(error)
  if (code === 'XX000') return /^cache lookup failed/.test(messageOf(error))
  return /^(?:42804|42846|42883|42725|42P08|42P18|22003|22007|22008|22P02)$/.test(String(code))
}

function codeOf(error: unknown): unknown {
  return (error as { readonly code?: unknown } | null)?.code
}

/** `pg` accepts `{ name, text }` where Kysely passes the SQL text. */
function withName(query: CompiledQuery, name: string): CompiledQuery {
  const { query: node, queryId, parameters, sql: text } = query
  return { query: node, queryId, parameters, sql: { name, text } as unknown as string }
}
