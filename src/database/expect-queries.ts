import { expectWholeNumber } from '../shared/assertions.ts'
import { NPlusOneError, QueryBudgetError } from './errors.ts'
import { describeFinding } from './n-plus-one.ts'
import { openQueryScope } from './query-scope.ts'

/** Options of {@link expectQueries}. */
export interface ExpectQueriesOptions {
  /** At most that many queries. @defaultValue no limit */
  readonly max?: number | undefined
  /** Fails when a query is repeated. @defaultValue true */
  readonly noNPlusOne?: boolean | undefined
}

/**
 * For tests: runs the function and looks at the queries of every instrumented `Kysely` in it, those of requests it makes to
 * a server in the same process included.
 *
 * @returns what the function returns
 * @throws {@link QueryBudgetError} when more than `max` queries ran, {@link NPlusOneError} when one was repeated
 *
 * @example
 * ```ts
 * await expectQueries(() => listUsers(db), { max: 2 })
 * ```
 */
export async function expectQueries<Result>(
  fn: () => Result | Promise<Result>,
  { max, noNPlusOne = true }: ExpectQueriesOptions = {},
): Promise<Result> {
  if (max !== undefined) expectWholeNumber(max, 'max')
  const scope = openQueryScope('expectQueries')
  let result: Result
  try {
    result = await scope.run(fn)
  } finally {
    scope.end()
  }
  if (max !== undefined && scope.queries > max) {
    throw new QueryBudgetError(`${scope.queries} queries ran, where at most ${max} are expected`)
  }
  const finding = noNPlusOne ? scope.findings?.[0]?.() : undefined
  if (finding !== undefined) throw new NPlusOneError(describeFinding(finding), finding)
  return result
}
