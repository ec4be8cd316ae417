import type { CompiledQuery } from 'kysely'
import { type CallSites, callSitesOf } from './call-site.ts'
import { pagesOn, varyingColumns } from './query-comparison.ts'
import type { ShapeStatistics } from './query-statistics.ts'
import { suggestionFor } from './suggestion.ts'
import type { NPlusOne } from './types.ts'

/** Different values that are told apart; beyond that the number no longer matters. */
const maxDistinct = 1_000

/** The runs of one shape within one scope. */
export class RepeatedQuery {
  readonly #scope: { readonly name: string }
  readonly shape: ShapeStatistics
  /** How often it was built. In `Promise.all` everything is built before anything runs. */
  built = 0
  count = 0
  totalMs = 0
  kind: 'n+1' | 'duplicate' | undefined
  /** Where it was built, captured once it became suspect. */
  stack: { readonly stack?: string } | undefined
  #first: CompiledQuery | undefined
  #latest: CompiledQuery | undefined
  /** Values of the runs before the threshold: they are compared only if it is reached. */
  #runs: (readonly unknown[])[] | undefined
  #distinct: Map<string, number> | undefined
  #sites: CallSites | undefined

  constructor(scope: { readonly name: string }, shape: ShapeStatistics) {
    this.#scope = scope
    this.shape = shape
  }

  /** Counts one more run, and says whether it makes a pattern of them. */
  add(query: CompiledQuery, threshold: number): boolean {
    this.count += 1
    if (this.#first === undefined) {
      this.#first = query
      return false
    }
    this.#latest = query
    this.#runs ??= [this.#first.parameters]
    this.#runs.push(query.parameters)
    if (this.count < threshold) return false
    const distinct = this.#compare(this.#runs.splice(0))
    if (this.kind !== undefined) return false
    this.kind = judge(distinct, threshold, this.#first, query)
    return this.kind !== undefined
  }

  /** What is known of the pattern, once there is one. */
  snapshot(): NPlusOne {
    const kind = this.kind as NPlusOne['kind']
    const [first, latest] = [this.#first, this.#latest] as [CompiledQuery, CompiledQuery]
    this.#sites ??= callSitesOf(this.stack as { readonly stack?: string })
    return {
      kind,
      shape: this.shape.text,
      count: this.count,
      distinctParameters: (this.#distinct as Map<string, number>).size,
      totalMs: this.totalMs,
      scope: this.#scope.name,
      ...this.#sites,
      suggestion: suggestionFor(kind, first, varyingColumns(first.query, latest.query)),
    }
  }

  #compare(runs: readonly (readonly unknown[])[]): ReadonlyMap<string, number> {
    this.#distinct ??= new Map()
    for (const parameters of runs) {
      const key = JSON.stringify(parameters, plainly)
      const seen = this.#distinct.get(key) ?? 0
      if (seen > 0 || this.#distinct.size < maxDistinct) this.#distinct.set(key, seen + 1)
    }
    return this.#distinct
  }
}

function judge(
  distinct: ReadonlyMap<string, number>,
  threshold: number,
  first: CompiledQuery,
  latest: CompiledQuery,
): RepeatedQuery['kind'] {
  if (distinct.size >= threshold) return pagesOn(first.query, latest.query) ? undefined : 'n+1'
  return Math.max(...distinct.values()) >= threshold ? 'duplicate' : undefined
}

function plainly(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}
