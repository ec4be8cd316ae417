import type { CompiledQuery } from 'kysely'
import { expectOneOf, expectOptions, expectWholeNumber } from '../../shared/arguments.ts'
import { notify } from '../../shared/rejections.ts'
import { isIntendedQuery, type SqlDialect } from '../../shared/sql/statement.ts'
import type { OnWarn } from '../../shared/warnings.ts'
import { formatCallSite } from '../call-site.ts'
import { NPlusOneError, QueryBudgetError } from '../errors.ts'
import type { Statement } from '../statistics/query-statistics.ts'
import type { NPlusOne, NPlusOneOptions } from '../types.ts'
import { ignoresNPlusOne, type QueryScope } from './query-scope.ts'
import { RepeatedQuery } from './repeated-query.ts'

const maxFindings = 100

interface DetectorOptions {
  readonly dialect: SqlDialect
  readonly onNPlusOne: ((finding: NPlusOne) => void) | undefined
  readonly onWarn: OnWarn
  /** Whether `autoBatch` would join runs of the query that are asked for together. Set while `autoBatch` is off. */
  readonly couldJoin: ((query: CompiledQuery) => boolean) | undefined
}

/** Finds queries that one scope repeats, and scopes that run too many queries. */
export class NPlusOneDetector {
  readonly #dialect: SqlDialect
  readonly #threshold: number
  readonly #mode: 'warn' | 'throw' | 'silent'
  readonly #onNPlusOne: ((finding: NPlusOne) => void) | undefined
  readonly #onWarn: OnWarn
  readonly #couldJoin: ((query: CompiledQuery) => boolean) | undefined
  readonly #findings: (() => NPlusOne)[] = []

  constructor(options: NPlusOneOptions, { dialect, onNPlusOne, onWarn, couldJoin }: DetectorOptions) {
    expectOptions(options, { threshold: 'own', mode: 'own' }, 'nPlusOne')
    const { threshold = 5, mode = 'warn' } = options
    this.#dialect = dialect
    this.#threshold = expectWholeNumber(threshold, 'nPlusOne.threshold', { min: 2 })
    this.#mode = expectOneOf(mode, 'nPlusOne.mode', ['warn', 'throw', 'silent'])
    this.#onNPlusOne = onNPlusOne
    this.#onWarn = onWarn
    this.#couldJoin = couldJoin
  }

  recordBuilt(scope: QueryScope, statement: Statement, query: CompiledQuery): void {
    if (!isIntended(statement, query)) this.#repeatedQuery(scope, statement).recordBuilt(this.#threshold)
  }

  /**
   * Counts a query that is about to run.
   *
   * @returns the query's runs in the scope, to which its duration will be added; `undefined` when it may be repeated
   * @throws {@link NPlusOneError}, {@link QueryBudgetError} in mode `'throw'`
   */
  recordRun(scope: QueryScope, statement: Statement, query: CompiledQuery): RepeatedQuery | undefined {
    if (scope.claimBudgetFinding()) this.#addBudgetFinding(scope, statement)
    if (isIntended(statement, query)) return undefined
    const repeated = this.#repeatedQuery(scope, statement)
    if (repeated.addRun(query, statement, this.#threshold)) this.#addRepetitionFinding(scope, repeated, query)
    return repeated
  }

  findings(): NPlusOne[] {
    return this.#findings.map((finding) => finding())
  }

  #repeatedQuery(scope: QueryScope, { shape }: Statement): RepeatedQuery {
    return scope.repeatedQuery(shape) ?? scope.addRepeatedQuery(new RepeatedQuery(scope, shape, this.#dialect))
  }

  #addRepetitionFinding(scope: QueryScope, repeated: RepeatedQuery, query: CompiledQuery): void {
    const finding = () => {
      const found = repeated.snapshot()
      if (!repeated.wereAskedTogether || !this.#couldJoin?.(query)) return found
      return { ...found, suggestion: `${found.suggestion} ${joinHint}` }
    }
    this.#addFinding(finding, scope)
    if (this.#mode === 'throw') throw new NPlusOneError(findingMessage(finding()), finding())
  }

  #addBudgetFinding(scope: QueryScope, { shape }: Statement): void {
    const finding = (): NPlusOne => ({
      kind: 'budget',
      shape: shape.text,
      count: scope.queries,
      distinctParameters: 0,
      totalMs: 0,
      scope: scope.name,
      suggestion: `Load what it needs with fewer statements: joins, 'in' lists, or a cache. ${scope.maxQueries} are allowed.`,
    })
    this.#addFinding(finding, scope)
    if (this.#mode === 'throw') throw new QueryBudgetError(findingMessage(finding()))
  }

  #addFinding(finding: () => NPlusOne, scope: QueryScope): void {
    this.#findings.push(finding)
    if (this.#findings.length > maxFindings) this.#findings.shift()
    scope.addFinding(finding, () => {
      if (this.#mode === 'silent') return
      if (this.#onNPlusOne !== undefined) notify(this.#onNPlusOne, finding())
      else this.#onWarn({ code: 'N_PLUS_ONE', message: findingMessage(finding()) })
    })
  }
}

const joinHint = 'They are asked for together: `instrument(config, { autoBatch: true })` would join them.'

/** Whether repeating the query costs nothing or is intended: batch after batch, page after page, or in `ignoreNPlusOne`. */
function isIntended(statement: Statement, { query, parameters }: CompiledQuery): boolean {
  const { usesTable, scalars, scalarLiterals, shape } = statement
  if (!usesTable || isIntendedQuery(query) || ignoresNPlusOne()) return true
  // From here on, the query is only a batch. A SELECT of a short list still counts, if the same list is asked for again
  // and again.
  if (scalars?.length !== 0 || scalarLiterals !== undefined) return false
  return parameters.length > longestComparedList || shape.operation !== 'select'
}

const longestComparedList = 50

export function findingMessage({ kind, shape, count, scope, callSite, suggestion }: NPlusOne): string {
  if (kind === 'budget') return `${scope} ran ${count} queries. ${suggestion}`
  const at = callSite === undefined ? '' : ` at ${formatCallSite(callSite)}`
  const values = kind === 'duplicate' ? 'the same values' : 'other values each time'
  return `${scope} ran the same query ${count} times with ${values}${at}: ${shape}. ${suggestion}`
}
