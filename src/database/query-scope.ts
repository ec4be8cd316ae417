import { AsyncLocalStorage } from 'node:async_hooks'
import { expectWholeNumber } from '../shared/assertions.ts'
import type { ShapeStatistics } from './query-statistics.ts'
import type { RepeatedQuery } from './repeated-query.ts'
import type { NPlusOne } from './types.ts'

/** Options of `withQueryScope`. */
export interface QueryScopeOptions {
  /** More queries than this within the scope are a `'budget'` finding. @defaultValue none */
  readonly maxQueries?: number | undefined
}

/** What one request, job or test did to the database. */
export class QueryScope {
  readonly #name: string | (() => string)
  readonly parent: QueryScope | undefined
  readonly maxQueries: number
  /** Queries so far, those of scopes within included. */
  queries = 0
  /** The query that broke the budget was told. */
  overBudget = false
  /** Open transactions by their owner, the instruments of one `Kysely`. */
  #transactions: Map<object, number> | undefined
  /** Patterns found, those of scopes within included. */
  findings: (() => NPlusOne)[] | undefined
  readonly #repeated = new Map<ShapeStatistics, RepeatedQuery>()
  #atEnd: (() => void)[] | undefined
  #ended = false

  constructor(name: string | (() => string), parent: QueryScope | undefined, maxQueries: number = Infinity) {
    this.#name = name
    this.parent = parent
    this.maxQueries = maxQueries
  }

  get name(): string {
    return typeof this.#name === 'string' ? this.#name : this.#name()
  }

  /** The runs of one shape in this scope. */
  repeated(shape: ShapeStatistics): RepeatedQuery | undefined {
    return this.#repeated.get(shape)
  }

  addRepeated(repeated: RepeatedQuery): RepeatedQuery {
    this.#repeated.set(repeated.shape, repeated)
    return repeated
  }

  /** A transaction begins (1) or ends (-1). */
  countTransaction(owner: object, change: 1 | -1): void {
    this.#transactions ??= new Map()
    this.#transactions.set(owner, (this.#transactions.get(owner) ?? 0) + change)
  }

  holdsTransaction(owner: object): boolean {
    return this.#transactions !== undefined && (this.#transactions.get(owner) ?? 0) > 0
  }

  /** Notes a pattern, here and in the scopes around, and tells it when the count is final. */
  found(finding: () => NPlusOne, tell: () => void): void {
    for (let scope: QueryScope | undefined = this; scope !== undefined; scope = scope.parent) {
      scope.findings ??= []
      scope.findings.push(finding)
    }
    this.#atEnd ??= []
    this.#atEnd.push(tell)
    if (this.#ended) this.#tell()
  }

  /** Runs the function, and all it starts, in this scope. */
  run<Result>(fn: () => Result): Result {
    return storage.run(this, fn)
  }

  /** Tells what was found. Queries that come later still count. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#tell()
  }

  #tell(): void {
    for (const tell of this.#atEnd?.splice(0) ?? []) tell()
  }
}

const storage = new AsyncLocalStorage<QueryScope>()
const ignoring = new AsyncLocalStorage<true>()

let everOpened = false

/** The scope around the running code. */
export function currentScope(): QueryScope | undefined {
  // Asked with every query: a program without scopes does not pay for them.
  return everOpened ? storage.getStore() : undefined
}

/** Whether repeated queries are wanted here. */
export function ignoresNPlusOne(): boolean {
  return ignoring.getStore() === true
}

/** Says that {@link currentScope} will be asked: only then do adapters open a scope for each request. */
export function lookForScopes(): void {
  areLookedFor = true
}

let areLookedFor = false

/** The scope of a request, which an adapter runs the handler in and ends with the response, if anybody looks for it. */
export function openRequestScope(name: () => string): QueryScope | undefined {
  return areLookedFor ? openQueryScope(name) : undefined
}

/**
 * A scope whose end somebody else knows.
 *
 * @param name - the name, or a function that knows it at the end, as the route of a request
 */
export function openQueryScope(name: string | (() => string), { maxQueries }: QueryScopeOptions = {}): QueryScope {
  if (maxQueries !== undefined) expectWholeNumber(maxQueries, 'maxQueries')
  everOpened = true
  return new QueryScope(name, currentScope(), maxQueries)
}

/**
 * Runs the function in a query scope: what it repeats is found, and its queries carry the name. The scope ends when the
 * result is there.
 *
 * @throws TypeError or RangeError when `maxQueries` is no whole number
 *
 * @example
 * ```ts
 * await withQueryScope('nightly report', () => buildReport(db), { maxQueries: 20 })
 * ```
 */
export function withQueryScope<Result>(
  name: string | (() => string),
  fn: () => Result,
  options: QueryScopeOptions = {},
): Result {
  const scope = openQueryScope(name, options)
  let result: Result
  try {
    result = scope.run(fn)
  } catch (error) {
    scope.end()
    throw error
  }
  if (result instanceof Promise) return result.finally(() => scope.end()) as Result
  scope.end()
  return result
}

/** Runs the function without looking for repeated queries: for loops that are meant. */
export function ignoreNPlusOne<Result>(fn: () => Result): Result {
  return ignoring.run(true, fn)
}
