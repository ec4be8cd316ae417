import { expectFunction, expectOptions, expectWholeNumber, type OptionKinds } from '../../shared/arguments.ts'
import { NPlusOneError, QueryBudgetError } from '../errors.ts'
import { startLazy } from './lazy-results.ts'
import { findingMessage } from './n-plus-one-detector.ts'
import { openQueryScope } from './query-scope.ts'

export interface ExpectQueriesOptions {
  /** The most queries that may run. @defaultValue no limit */
  readonly max?: number | undefined
  /** Fails when a query is repeated. @defaultValue true */
  readonly noNPlusOne?: boolean | undefined
}

const expectQueriesOptions: OptionKinds<ExpectQueriesOptions> = { max: 'own', noNPlusOne: 'boolean' }

/**
 * For tests: runs the function and checks the queries of every instrumented `Kysely` in it. They include the queries of a
 * server in the same process that the function sends requests to: `app.inject` and `supertest` may be returned as they are.
 *
 * @returns the function's result
 * @throws {@link QueryBudgetError} when more than `max` queries ran, or a scope within broke its `maxQueries`;
 *   {@link NPlusOneError} when a query was repeated
 *
 * @example
 * ```ts
 * await expectQueries(() => listUsers(db), { max: 2 })
 * ```
 */
export async function expectQueries<Result>(
  fn: () => Result | PromiseLike<Result>,
  options: ExpectQueriesOptions = {},
): Promise<Result> {
  expectFunction(fn, 'fn')
  expectOptions(options, expectQueriesOptions)
  const { max, noNPlusOne = true } = options
  if (max !== undefined) expectWholeNumber(max, 'max')
  const scope = openQueryScope('expectQueries')
  let result: Result
  try {
    result = await scope.run(() => startLazy(fn()))
  } finally {
    scope.end()
  }
  if (max !== undefined && scope.queries > max) {
    throw new QueryBudgetError(`${scope.queries} queries ran, where at most ${max} are expected`)
  }
  const finding = noNPlusOne ? scope.firstFinding() : undefined
  if (finding?.kind === 'budget') throw new QueryBudgetError(findingMessage(finding))
  if (finding !== undefined) throw new NPlusOneError(findingMessage(finding), finding)
  return result
}
