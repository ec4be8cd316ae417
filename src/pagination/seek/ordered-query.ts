import type { SelectQueryNode } from 'kysely'
import { expectOneOf } from '../../shared/arguments.ts'
import { type SqlDialect, sqlDialects } from '../../shared/sql/dialect.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import { type GivenKeys, parseSortKeys } from './given-keys.ts'
import { QueryRunner, type SelectQuery } from './query-runner.ts'
import { describeKey, isNative, type KeyTypes, type OrderKey, type ResolvedQuery, resolveOrder } from './sort-keys.ts'

/** The settings of a paginator that every page needs. */
export interface OrderedQuerySettings {
  readonly dialect: SqlDialect | undefined
  readonly warn: OnWarn
}

export interface OrderedQueryOptions {
  readonly by?: unknown
  readonly unique: unknown
  readonly signal?: AbortSignal | undefined
  readonly dialect?: SqlDialect | undefined
}

/** A query in an order. */
export class OrderedQuery {
  /** Runs our statements over the query. */
  readonly runner: QueryRunner
  readonly #givenKeys: GivenKeys
  readonly #warn: OnWarn
  #resolved: ResolvedQuery | undefined
  #isFenced = false

  constructor(query: SelectQuery, { by, unique, dialect }: OrderedQueryOptions, settings: OrderedQuerySettings) {
    this.#givenKeys = parseSortKeys(by, unique)
    this.#warn = settings.warn
    this.runner = new QueryRunner(
      query.orderBy(this.#givenKeys.tuple),
      dialect === undefined ? settings.dialect : expectOneOf(dialect, 'dialect', sqlDialects),
    )
  }

  /** The order as the last statement has it. */
  get resolved(): ResolvedQuery | undefined {
    return this.#resolved
  }

  /**
   * Resolves the order, once for all statements.
   *
   * @param node - the query, as the runner passes it
   * @param complete - adds details of the keys that statements need
   */
  resolve(
    node: SelectQueryNode,
    keyTypes?: KeyTypes,
    complete?: (resolved: ResolvedQuery) => ResolvedQuery,
  ): ResolvedQuery {
    if (this.#resolved !== undefined) return this.#resolved
    const resolved = resolveOrder(node, this.#givenKeys, this.runner, keyTypes, this.#isFenced)
    const foreign = resolved.keys.find((key) => !isNative(key, this.runner.dialect))
    if (foreign !== undefined) this.#warn(orderNotNative(foreign))
    this.#resolved = complete === undefined ? resolved : complete(resolved)
    return this.#resolved
  }

  /** Makes later statements expect values of several types in the keys. */
  expectMixedTypes(): ResolvedQuery {
    const { keys, ...resolved } = this.#resolved as ResolvedQuery
    this.#resolved = { ...resolved, keys: keys.map((key) => ({ ...key, typesInUnion: 'several' })) }
    return this.#resolved
  }

  /**
   * Makes PostgreSQL compute the keys, in later statements, only for rows of the query. Otherwise it may compare keys
   * before it joins and filters, and fail for a row that the query leaves out, as at `a / b` where `b` is 0.
   *
   * @returns whether this changes later statements
   */
  fence(): boolean {
    if (this.#isFenced || this.runner.dialect !== 'postgres') return false
    this.#isFenced = true
    this.reset()
    return true
  }

  /** Makes the next statement resolve the order anew. */
  reset(): void {
    this.#resolved = undefined
  }
}

function orderNotNative(key: OrderKey): { code: string; message: string } {
  return {
    code: 'KEY_ORDER_NOT_NATIVE',
    message:
      `${describeKey(key)} asks for its NULLs at the other end than a plain index has them, so such an index cannot serve pages in ` +
      'this order. On PostgreSQL declare the index with the same NULLS FIRST or NULLS LAST; elsewhere change `nulls`.',
  }
}
