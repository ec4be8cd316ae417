import { AsyncLocalStorage } from 'node:async_hooks'
import {
  expectFunction,
  expectOptions,
  expectText,
  expectWholeNumber,
  type OptionKinds,
} from '../../shared/arguments.ts'
import { OpenRequestScope } from '../../shared/scope/request-scope.ts'
import {
  abandonmentIsEnabled,
  currentOwner,
  currentWork,
  enteredScope,
  runInEnteredScope,
  runWork,
  type ScopeOfRequest,
  scopesAreEnabled,
} from '../../shared/scope/work.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import type { ShapeStatistics } from '../statistics/shape-statistics.ts'
import type { NPlusOne } from '../types.ts'
import { startLazy } from './lazy-results.ts'
import type { RepeatedQuery } from './repeated-query.ts'

/** Options of `withQueryScope`. */
export interface QueryScopeOptions {
  /** When the scope runs more queries than this, it has a `'budget'` finding. @defaultValue none */
  readonly maxQueries?: number | undefined
  /**
   * Aborts `requestScope().signal` inside the scope. With `instrument({ abandon: 'cancel' })`, it also ends the scope's
   * queries.
   */
  readonly signal?: AbortSignal | undefined
  /** How long the scope may take before `requestScope().signal` is aborted. @defaultValue none */
  readonly deadline?: Duration | undefined
}

const queryScopeOptions: OptionKinds<QueryScopeOptions> = { maxQueries: 'own', signal: 'signal', deadline: 'own' }

/** How many shapes a scope watches. The oldest makes room for a new one. */
const maxShapes = 500

/** The queries of one request, job or test. */
export class QueryScope implements ScopeOfRequest {
  /** The request scope of the scope around it, unless this scope has its own. */
  readonly request: OpenRequestScope
  readonly #name: string | (() => string)
  readonly #parent: QueryScope | undefined
  readonly #ownRequest: OpenRequestScope | undefined
  readonly maxQueries: number
  #queries = 0
  #hasClaimedBudgetFinding = false
  /** Open transactions of each instrumented `Kysely`. */
  #transactionsByOwner: Map<object, number> | undefined
  #firstFinding: (() => NPlusOne) | undefined
  readonly #repeatedByShape = new Map<ShapeStatistics, RepeatedQuery>()
  #reportsAtEnd: (() => void)[] | undefined
  #hasEnded = false

  constructor(
    name: string | (() => string),
    parent: QueryScope | undefined,
    { maxQueries = Infinity, signal, deadline }: QueryScopeOptions,
  ) {
    this.#name = name
    this.#parent = parent
    const isOwn = parent === undefined || signal !== undefined || deadline !== undefined
    // A load in the cache or a batch does not end with the request that began it.
    const outer = abandonmentIsEnabled() ? currentOwner() : parent?.request
    this.request = isOwn ? new OpenRequestScope(parent?.request, outer) : parent.request
    this.#ownRequest = isOwn ? this.request : undefined
    if (deadline !== undefined) this.request.setDeadline(parseDuration(deadline, 'deadline'))
    if (signal !== undefined) this.request.follow(signal)
    this.maxQueries = maxQueries
  }

  get name(): string {
    return typeof this.#name === 'string' ? this.#name : this.#name()
  }

  /** Queries so far, including those of nested scopes. */
  get queries(): number {
    return this.#queries
  }

  /** The first finding of this scope and its nested scopes. */
  firstFinding(): NPlusOne | undefined {
    return this.#firstFinding?.()
  }

  /** Counts a query in this scope and the scopes around it. */
  countQuery(): void {
    for (let scope: QueryScope | undefined = this; scope !== undefined; scope = scope.#parent) scope.#queries += 1
  }

  /** Returns true only once, for the first query beyond `maxQueries`, so that the budget is reported once. */
  claimBudgetFinding(): boolean {
    if (this.#queries <= this.maxQueries || this.#hasClaimedBudgetFinding) return false
    this.#hasClaimedBudgetFinding = true
    return true
  }

  /** The runs of one shape in this scope. */
  repeatedQuery(shape: ShapeStatistics): RepeatedQuery | undefined {
    return this.#repeatedByShape.get(shape)
  }

  addRepeatedQuery(repeated: RepeatedQuery): RepeatedQuery {
    const repeatedByShape = this.#repeatedByShape
    // The scope of a worker may last as long as its process.
    if (repeatedByShape.size >= maxShapes)
      repeatedByShape.delete(repeatedByShape.keys().next().value as ShapeStatistics)
    repeatedByShape.set(repeated.shape, repeated)
    return repeated
  }

  /** @param delta - 1 when a transaction begins, -1 when it ends */
  countTransaction(owner: object, delta: 1 | -1): void {
    this.#transactionsByOwner ??= new Map()
    this.#transactionsByOwner.set(owner, (this.#transactionsByOwner.get(owner) ?? 0) + delta)
  }

  holdsTransaction(owner: object): boolean {
    return this.#transactionsByOwner !== undefined && (this.#transactionsByOwner.get(owner) ?? 0) > 0
  }

  /**
   * Adds a finding to this scope and the scopes around it.
   *
   * @param report - called when the scope ends, because the finding's count is final only then
   */
  addFinding(finding: () => NPlusOne, report: () => void): void {
    for (let scope: QueryScope | undefined = this; scope !== undefined; scope = scope.#parent) {
      scope.#firstFinding ??= finding
    }
    this.#reportsAtEnd ??= []
    this.#reportsAtEnd.push(report)
    if (this.#hasEnded) this.#report()
  }

  /** Runs the function, with all the asynchronous work that it starts, in this scope. */
  run<Result>(fn: () => Result): Result {
    const owner = this.#ownRequest
    // Inside a load or a batch, queries would otherwise end only with the load or batch, not with this scope.
    const isPartOfWork = owner !== undefined && currentWork() !== undefined
    return runInEnteredScope(this, isPartOfWork ? () => runWork({ owner }, fn) : fn)
  }

  /** Reports the findings. Later queries of the scope still count. */
  end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#ownRequest?.end()
    this.#report()
  }

  #report(): void {
    for (const report of this.#reportsAtEnd?.splice(0) ?? []) report()
  }
}

const ignoreStorage = /* @__PURE__ */ new AsyncLocalStorage<true>()

/** The scope around the running code. */
export function currentScope(): QueryScope | undefined {
  // Only `run` enters scopes.
  return enteredScope() as QueryScope | undefined
}

/** Whether the running code is inside {@link ignoreNPlusOne}. */
export function ignoresNPlusOne(): boolean {
  return ignoreStorage.getStore() === true
}

/** Opens the scope of a request, if scopes are enabled. The adapter runs the handler in it and ends it with the response. */
export function openRequestScope(name: () => string): QueryScope | undefined {
  if (!scopesAreEnabled()) return undefined
  const scope = openQueryScope(name)
  scope.request.begin()
  return scope
}

/**
 * Opens a scope that the caller runs and ends.
 *
 * @param name - a function when the name is known only later, such as the route of a request
 */
export function openQueryScope(name: string | (() => string), options: QueryScopeOptions = {}): QueryScope {
  if (options.maxQueries !== undefined) expectWholeNumber(options.maxQueries, 'maxQueries')
  return new QueryScope(name, currentScope(), options)
}

/**
 * Runs the function in a query scope: repeated queries in it are found, and query events carry its name. The scope ends when
 * the function returns, or when its promise settles. Lazy results, as of `app.inject` and `supertest`, are started within
 * the scope.
 *
 * @throws TypeError or RangeError when `maxQueries` is no whole number
 *
 * @example
 * ```ts
 * await withQueryScope('nightly report', () => buildReport(db), { maxQueries: 20 })
 * ```
 */
export function withQueryScope<Value>(
  name: string | (() => string),
  fn: () => PromiseLike<Value>,
  options?: QueryScopeOptions,
): Promise<Value>
export function withQueryScope<Result>(
  name: string | (() => string),
  fn: () => Result,
  options?: QueryScopeOptions,
): Result
export function withQueryScope(
  name: string | (() => string),
  fn: () => unknown,
  options: QueryScopeOptions = {},
): unknown {
  if (typeof name !== 'function') expectText(name, 'name')
  expectFunction(fn, 'fn')
  expectOptions(options, queryScopeOptions)
  const scope = openQueryScope(name, options)
  let result: unknown
  try {
    result = scope.run(() => startLazy(fn()))
  } catch (error) {
    scope.end()
    throw error
  }
  if (result instanceof Promise) return result.finally(() => scope.end())
  scope.end()
  return result
}

/** Runs the function without looking for repeated queries, for loops that repeat a query on purpose. */
export function ignoreNPlusOne<Value>(fn: () => PromiseLike<Value>): Promise<Value>
export function ignoreNPlusOne<Result>(fn: () => Result): Result
export function ignoreNPlusOne(fn: () => unknown): unknown {
  expectFunction(fn, 'fn')
  return ignoreStorage.run(true, () => startLazy(fn()))
}
