import type { CompiledQuery } from 'kysely'
import { expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { isPageQuery } from '../shared/page-queries.ts'
import type { OnWarn } from '../shared/warnings.ts'
import { captureStack, formatCallSite } from './call-site.ts'
import { NPlusOneError, QueryBudgetError } from './errors.ts'
import { currentScope, ignoresNPlusOne, type QueryScope } from './query-scope.ts'
import type { Statement } from './query-statistics.ts'
import { RepeatedQuery } from './repeated-query.ts'
import type { NPlusOne, NPlusOneOptions } from './types.ts'

/** Findings that are kept for the report. */
const maxFindings = 100

/** Finds queries that one scope repeats, and scopes that run too many. */
export class NPlusOneDetector {
  readonly #threshold: number
  readonly #mode: 'warn' | 'throw' | 'silent'
  readonly #onNPlusOne: ((finding: NPlusOne) => void) | undefined
  readonly #onWarn: OnWarn
  readonly #findings: (() => NPlusOne)[] = []

  constructor(
    { threshold = 5, mode = 'warn' }: NPlusOneOptions,
    onNPlusOne: ((finding: NPlusOne) => void) | undefined,
    onWarn: OnWarn,
  ) {
    this.#threshold = expectWholeNumber(threshold, 'nPlusOne.threshold', { min: 2 })
    this.#mode = expectOneOf(mode, 'nPlusOne.mode', ['warn', 'throw', 'silent'])
    this.#onNPlusOne = onNPlusOne
    this.#onWarn = onWarn
  }

  /** A query was built: the one moment at which the whole stack of the caller is there. */
  built(statement: Statement, query: CompiledQuery): void {
    const scope = currentScope()
    if (scope === undefined || isMeant(statement, query)) return
    const repeated = this.#repeated(scope, statement)
    repeated.built += 1
    if (repeated.built >= this.#threshold - 1) repeated.stack ??= captureStack()
  }

  /**
   * A query is about to run.
   *
   * @returns where its time is to be added, if it counts
   * @throws {@link NPlusOneError}, {@link QueryBudgetError} in mode `'throw'`
   */
  runs(scope: QueryScope, statement: Statement, query: CompiledQuery): RepeatedQuery | undefined {
    if (scope.queries > scope.maxQueries && !scope.overBudget) this.#exceeds(scope, statement)
    if (isMeant(statement, query)) return undefined
    const repeated = this.#repeated(scope, statement)
    if (repeated.add(query, this.#threshold)) this.#found(scope, repeated)
    return repeated
  }

  findings(): NPlusOne[] {
    return this.#findings.map((finding) => finding())
  }

  #repeated(scope: QueryScope, { shape }: Statement): RepeatedQuery {
    return scope.repeated(shape) ?? scope.addRepeated(new RepeatedQuery(scope, shape))
  }

  #found(scope: QueryScope, repeated: RepeatedQuery): void {
    // Built once and run many times, or past our compiler: only the stack of this run is left.
    repeated.stack ??= captureStack()
    const finding = () => repeated.snapshot()
    this.#keep(finding, scope)
    if (this.#mode === 'throw') throw new NPlusOneError(describeFinding(finding()), finding())
  }

  #exceeds(scope: QueryScope, { shape }: Statement): void {
    scope.overBudget = true
    const finding = (): NPlusOne => ({
      kind: 'budget',
      shape: shape.text,
      count: scope.queries,
      distinctParameters: 0,
      totalMs: 0,
      scope: scope.name,
      suggestion: `Load what it needs with fewer statements: joins, 'in' lists, or a cache. ${scope.maxQueries} are allowed.`,
    })
    this.#keep(finding, scope)
    if (this.#mode === 'throw') throw new QueryBudgetError(describeFinding(finding()))
  }

  #keep(finding: () => NPlusOne, scope: QueryScope): void {
    this.#findings.push(finding)
    if (this.#findings.length > maxFindings) this.#findings.shift()
    scope.found(finding, () => {
      if (this.#mode === 'silent') return
      if (this.#onNPlusOne !== undefined) this.#onNPlusOne(finding())
      else this.#onWarn({ code: 'N_PLUS_ONE', message: describeFinding(finding()) })
    })
  }
}

/** Repeated on purpose: batch after batch, page after page, or because the user says so. */
function isMeant({ batch }: Statement, { query }: CompiledQuery): boolean {
  return batch || isPageQuery(query) || ignoresNPlusOne()
}

/** One sentence for people. */
export function describeFinding({ kind, shape, count, scope, callSite, suggestion }: NPlusOne): string {
  if (kind === 'budget') return `${scope} ran ${count} queries. ${suggestion}`
  const at = callSite === undefined ? '' : ` at ${formatCallSite(callSite)}`
  const values = kind === 'duplicate' ? 'the same values' : 'other values each time'
  return `${scope} ran the same query ${count} times with ${values}${at}: ${shape}. ${suggestion}`
}
