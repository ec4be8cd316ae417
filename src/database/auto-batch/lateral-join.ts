import type { CompiledQuery, SelectQueryNode } from 'kysely'
import type { Execute } from '../execute.ts'
import { foldedPositions } from '../fingerprint/folded-parameters.ts'
import { type JoinedSql, type JoinPlan, numberColumn, refusalOf, unreadableText } from './join-plan.ts'
import { type ParameterType, readPostgresFacts } from './postgres-facts.ts'
import { isSpace, namesIn, parameterPosition, readableTokens } from './readable-tokens.ts'

/** The kind of driver: it decides how a list of values is written, and whether joined rows must be proven. */
export type PostgresDriverKind = 'pg' | 'pglite' | 'other'

/** @returns the plan, or why the query cannot be joined */
export function planLateralJoin(query: CompiledQuery, driver: PostgresDriverKind): JoinPlan | string {
  const tokens = readableTokens(query.sql, 'postgres')
  if (tokens === undefined) return unreadableText
  // Through Knex they are question marks.
  const shown = new Set(tokens.map(parameterPosition).filter((position) => position !== undefined))
  if (shown.size < query.parameters.length) return 'its parameters cannot be told from its text'
  const names = namesIn(tokens)
  const refusal = refusalOf(names, tokens)
  if (refusal !== undefined) return refusal
  return new LateralJoin(tokens, names, query, driver)
}

/**
 * `select x.*, p.n from unnest($1::int4[]) with ordinality as p (a1, n) cross join lateral (<query of p.a1>) as x`: runs
 * the query once for each row of parameters. The text is the same for any number of lookups, so it can be a named
 * statement.
 */
class LateralJoin implements JoinPlan {
  readonly sharedPositions: readonly number[]
  readonly proof: 'none' | 'rows'
  readonly #tokens: readonly string[]
  readonly #names: ReadonlySet<string>
  readonly #driver: PostgresDriverKind
  readonly #fence: string
  #types: readonly ParameterType[] = []

  constructor(tokens: readonly string[], names: ReadonlySet<string>, query: CompiledQuery, driver: PostgresDriverKind) {
    this.#tokens = tokens
    this.#names = names
    this.#driver = driver
    this.proof = driver === 'other' ? 'rows' : 'none'
    this.sharedPositions = [...limitPositions(tokens), ...foldedPositions(tokens)]
    this.#fence = isFenced(query.query as SelectQueryNode) ? '' : ' offset 0'
  }

  readonly learn = async (execute: Execute, lookups: readonly CompiledQuery[]): Promise<string | undefined> => {
    const { sql, parameters } = lookups[0] as CompiledQuery
    const { types, refusal } = await readPostgresFacts(execute, sql, this.#names, (types) => {
      this.#types = types
      const joined = types.length === parameters.length ? this.join(lookups) : undefined
      return joined === undefined ? [] : [joined, ...lookups.slice(0, comparedLookups)]
    })
    return refusal ?? (types.length === parameters.length ? undefined : 'the types of its parameters are not known')
  }

  join(lookups: readonly CompiledQuery[]): JoinedSql | undefined {
    const first = (lookups[0] as CompiledQuery).parameters
    if (this.#driver === 'other' && !lookups.every(({ parameters }) => parameters.every(isUndeclared))) return undefined
    const parameters: unknown[] = []
    const add = (value: unknown) => `$${parameters.push(value)}`
    const varying: number[] = []
    const replacements = first.map((value, position) => {
      // A constant lets PostgreSQL use partial indexes, and can be a LIMIT.
      if (lookups.every((lookup) => isSame(lookup.parameters[position], value))) return add(value)
      return `${rows}.a${varying.push(position)}`
    })
    const source = this.#source(lookups, varying, add)
    const query = this.#tokens
      .map((token) => {
        const position = parameterPosition(token)
        return position === undefined ? token : replacements[position]
      })
      .join('')
    // If an error comes half way, postgres.js leaves holes in the next result. With a sort, the statement fails before
    // its first row. A sort by the number alone would mix the rows of a lookup.
    const order = this.#driver === 'other' ? ' order by row_number() over ()' : ''
    const sql = `select posthaste_x.*, ${rows}.${numberColumn}::pg_catalog.int4 as ${numberColumn} from ${source} cross join lateral (${query}${this.#fence}) as posthaste_x${order}`
    return { sql, parameters }
  }

  /** The rows of parameters, numbered. */
  #source(lookups: readonly CompiledQuery[], varying: readonly number[], add: (value: unknown) => string): string {
    const names = [...varying.map((_, index) => `a${index + 1}`), numberColumn].join(', ')
    if (varying.length === 0) {
      return `pg_catalog.generate_series(1, ${add(lookups.length)}::pg_catalog.int4) as ${rows} (${names})`
    }
    const typeOf = (position: number) => this.#types[position] as ParameterType
    const valuesAt = (position: number) => lookups.map(({ parameters }) => parameters[position])
    if (varying.every((position) => this.#canUnnest(typeOf(position), valuesAt(position)))) {
      const lists = varying.map((position) => `${add(valuesAt(position))}::${typeOf(position).name}[]`)
      return `unnest(${lists.join(', ')}) with ordinality as ${rows} (${names})`
    }
    const lines = lookups.map(({ parameters }, index) => {
      const values = varying.map((position) => {
        const type = index === 0 ? `::${typeOf(position).name}` : ''
        return `${add(parameters[position])}${type}`
      })
      return `(${[...values, index + 1].join(', ')})`
    })
    return `(values ${lines.join(', ')}) as ${rows} (${names})`
  }

  #canUnnest({ isOwn, hasPlainArray }: ParameterType, values: readonly unknown[]): boolean {
    if (!hasPlainArray) return false
    if (this.#driver === 'pg') return values.every((value) => isUndeclared(value) || isPgScalar(value))
    return !isOwn && values.every(isUndeclared)
  }
}

const rows = 'posthaste_p'
/** For how many lookups the plan is compared with the plan of the joined statement. */
const comparedLookups = 3

/** LIMIT and OFFSET cannot refer to another table's column. */
function limitPositions(tokens: readonly string[]): number[] {
  const solid = tokens.filter((token) => !isSpace(token))
  return solid.flatMap((token, index) => {
    const position = parameterPosition(solid[index + 1] ?? '')
    return position !== undefined && /^(?:limit|offset|first|next)$/i.test(token) ? [position] : []
  })
}

/**
 * Whether the planner keeps the query apart without our `offset 0`. Merged into the join, it would become a hash join
 * over whole tables.
 */
function isFenced({ limit, offset, fetch, setOperations }: SelectQueryNode): boolean {
  return (limit ?? offset ?? fetch ?? setOperations) !== undefined
}

function isSame(one: unknown, other: unknown): boolean {
  if (one instanceof Date && other instanceof Date) return one.getTime() === other.getTime()
  return Object.is(one, other)
}

/** Values for which no driver declares a type. */
function isUndeclared(value: unknown): boolean {
  return value === null || typeof value === 'string' || typeof value === 'number'
}

/** Further values that `pg` writes in a list as it writes them alone. */
function isPgScalar(value: unknown): boolean {
  if (typeof value === 'boolean' || typeof value === 'bigint') return true
  return value instanceof Date && Object.getPrototypeOf(value) === Date.prototype && !('toPostgres' in value)
}
