import type { CompiledQuery } from 'kysely'
import { nodeCrypto, nodeUtil } from '../../shared/platform/builtins.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { type CallSites, callSitesOf, captureStack } from '../call-site.ts'
import { isOtherPage } from '../fingerprint/page-bounds.ts'
import type { Statement } from '../statistics/query-statistics.ts'
import type { ShapeStatistics } from '../statistics/shape-statistics.ts'
import type { NPlusOne } from '../types.ts'
import { varyingColumns } from './query-comparison.ts'
import { suggestionFor } from './suggestion.ts'

/** The number of distinct sets of parameters that are counted at most. */
const maxDistinct = 1_000

interface Run {
  readonly query: CompiledQuery
  readonly statement: Statement
}

/** The runs of one shape within one scope. */
export class RepeatedQuery {
  readonly #scope: { readonly name: string }
  readonly shape: ShapeStatistics
  readonly #dialect: SqlDialect
  #builtCount = 0
  #endedCount = 0
  /** Whether a query was built before another had ended, as in `Promise.all`. */
  wereAskedTogether = false
  #count = 0
  #totalMs = 0
  #kind: 'n+1' | 'duplicate' | undefined
  /** The stack on which the query was built, captured once the query is suspect. */
  #stack: { readonly stack?: string } | undefined
  #first: Run | undefined
  #latest: CompiledQuery | undefined
  /** The runs before the threshold. Their parameters are compared only once the threshold is reached. */
  #pending: Run[] | undefined
  #counts: ParameterCounts | undefined
  /** At this count we check whether the runs read pages. */
  #pageCheckAt = 0
  #callSites: CallSites | undefined

  constructor(scope: { readonly name: string }, shape: ShapeStatistics, dialect: SqlDialect) {
    this.#scope = scope
    this.shape = shape
    this.#dialect = dialect
  }

  /** Captures the stack of a suspect query while it is built: only then is the whole stack of the caller there. */
  recordBuilt(threshold: number): void {
    // Built queries are counted, not runs, because `Promise.all` builds every query before the first one runs.
    this.#builtCount += 1
    if (this.#builtCount - this.#endedCount > 1) this.wereAskedTogether = true
    if (this.#builtCount >= threshold - 1) this.#stack ??= captureStack()
  }

  /** Counts one run, and returns whether it is the run that completes a pattern. */
  addRun(query: CompiledQuery, statement: Statement, threshold: number): boolean {
    this.#count += 1
    this.#latest = query
    const run = { query, statement }
    if (this.#first === undefined) {
      // Most queries run once, and need no more than this.
      this.#first = run
      return false
    }
    this.#pending ??= [this.#first]
    this.#pending.push(run)
    if (this.#count < threshold) return false
    this.#counts ??= new ParameterCounts()
    for (const run of this.#pending.splice(0)) this.#counts.add(run)
    if (this.#kind !== undefined) return false
    this.#kind = this.#findKind(threshold)
    if (this.#kind === undefined) return false
    // A query that was built once and runs many times, or was not built by our compiler, has no stack yet.
    this.#stack ??= captureStack()
    return true
  }

  /** Takes back the latest runs, because their transaction was rolled back and runs again. */
  forgetRuns(runs: number): void {
    if (this.#kind !== undefined || this.#first === undefined) return
    this.#pending ??= [this.#first]
    this.#count = Math.max(0, this.#count - runs)
    this.#builtCount = Math.max(0, this.#builtCount - runs)
    const rest = runs - this.#pending.length
    this.#pending.length = Math.max(0, -rest)
    if (rest > 0) this.#counts = undefined
  }

  addDuration(durationMs: number): void {
    this.#totalMs += durationMs
    this.#endedCount += 1
  }

  /** Call it only after {@link RepeatedQuery.addRun} has found a pattern. */
  snapshot(): NPlusOne {
    const kind = this.#kind as NPlusOne['kind']
    const [{ query: first }, latest] = [this.#first, this.#latest] as [Run, CompiledQuery]
    this.#callSites ??= callSitesOf(this.#stack as { readonly stack?: string })
    return {
      kind,
      shape: this.shape.text,
      count: this.#count,
      distinctParameters: this.#counts?.distinct ?? 0,
      totalMs: this.#totalMs,
      scope: this.#scope.name,
      ...this.#callSites,
      suggestion: suggestionFor(kind, first, this.shape, varyingColumns(first.query, latest.query)),
    }
  }

  #findKind(threshold: number): 'n+1' | 'duplicate' | undefined {
    const { distinct, mostFrequent } = this.#counts as ParameterCounts
    if (distinct >= threshold) return this.#readsPages() ? undefined : 'n+1'
    return mostFrequent >= threshold ? 'duplicate' : undefined
  }

  /** As long as the runs read pages, checks less and less often. */
  #readsPages(): boolean {
    if (this.#count < this.#pageCheckAt) return true
    this.#pageCheckAt = this.#count * 2
    return isOtherPage((this.#first as Run).query, this.#latest as CompiledQuery, this.#dialect)
  }
}

/** Counts the sets of parameters of runs. */
class ParameterCounts {
  readonly #countsByParameters = new Map<string, number>()
  /** The sets of parameters without those of lists. */
  readonly #scalarSets = new Set<string>()
  mostFrequent = 0

  /** Sets that differ in more than their lists. */
  get distinct(): number {
    return this.#scalarSets.size
  }

  add({ query: { parameters }, statement: { scalars, literals, scalarLiterals } }: Run): void {
    const key = keyOf(parameters, literals)
    const count = (this.#countsByParameters.get(key) ?? 0) + 1
    if (count > 1 || this.#countsByParameters.size < maxDistinct) this.#countsByParameters.set(key, count)
    this.mostFrequent = Math.max(this.mostFrequent, count)
    if (this.#scalarSets.size >= maxDistinct) return
    const single = scalars?.map((position) => parameters[position])
    this.#scalarSets.add(single === undefined ? key : keyOf(single, scalarLiterals))
  }
}

/** A text that is the same for the same values. It is short, because long texts and files would stay in memory. */
function keyOf(values: readonly unknown[], literals: string | undefined): string {
  const key = textOf(literals === undefined ? values : [...values, literals])
  return key.length > longestKey ? hashOf(key) : key
}

const longestKey = 200

function textOf(values: readonly unknown[]): string {
  try {
    return JSON.stringify(values.map(hashIfBytes), bigintToText)
  } catch {
    // Some values have no JSON, such as a circular object, but a driver may accept them.
    return nodeUtil().inspect(values)
  }
}

function hashIfBytes(value: unknown): unknown {
  return ArrayBuffer.isView(value) ? hashOf(value as NodeJS.ArrayBufferView) : value
}

function hashOf(value: string | NodeJS.ArrayBufferView): string {
  return nodeCrypto().createHash('sha1').update(value).digest('base64')
}

function bigintToText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}
