import { performance } from 'node:perf_hooks'
import type { CompiledQuery, DatabaseConnection, QueryResult } from 'kysely'
import { isPlainObject } from '../../shared/plain-object.ts'
import { nodeUtil } from '../../shared/platform/builtins.ts'
import { currentOwner } from '../../shared/scope/work.ts'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import { classifyError } from '../classify-error.ts'
import { NPlusOneError, QueryBudgetError } from '../errors.ts'
import { type JoinedQuery, numberColumn } from './join-plan.ts'
import type { ConnectionSource, Lookup } from './lookup.ts'
import type { LookupShape } from './lookup-shape.ts'

type Results = readonly QueryResult<unknown>[]

/** Runs lookups of one shape, joined or for a comparison separately. */
export class GroupRunner {
  readonly #source: ConnectionSource
  readonly #dialect: SqlDialect
  /** The shortest round trip so far. */
  #roundTripMs = Infinity

  constructor(source: ConnectionSource, dialect: SqlDialect) {
    this.#source = source
    this.#dialect = dialect
  }

  /** Settles all lookups; never rejects. */
  async run(shape: LookupShape, lookups: readonly Lookup[], maxSize: number): Promise<void> {
    if (shape.costs.beginTrial()) await this.#runTrial(shape, lookups)
    else await this.#runJoined(shape, lookups, maxSize)
  }

  /** All lookups share one connection, even if they need several statements. */
  async #runJoined(shape: LookupShape, lookups: readonly Lookup[], maxSize: number): Promise<void> {
    let connection: DatabaseConnection
    try {
      connection = await this.#source.acquire(undefined)
    } catch (error) {
      for (const lookup of lookups) lookup.reject(error)
      return
    }
    const outcomes: Outcome[] = []
    try {
      const isReady = await this.#learn(connection, shape, lookups.slice(0, maxSize))
      for (let start = 0; start < lookups.length; start += maxSize) {
        const part = lookups.slice(start, start + maxSize)
        const outcome: Outcome = isReady ? await this.#join(connection, shape, part) : { lookups: part }
        outcomes.push(outcome)
        // On a single connection, run these now: later queries could otherwise overtake them.
        if (outcome.results === undefined && this.#source.isSerial)
          outcome.failedAlone = await runInTurn(connection, part)
      }
    } finally {
      await this.#source.release(connection, undefined).catch(() => {})
    }
    await Promise.all(outcomes.map((outcome) => this.#settle(shape, outcome)))
  }

  #learn(connection: DatabaseConnection, shape: LookupShape, lookups: readonly Lookup[]): Promise<boolean> {
    const execute = this.#source.executeUnrecorded(connection)
    const queries = lookups.map(({ query }) => query)
    return shape.learn((query, options) => this.#timed(execute(query, options)), queries)
  }

  async #timed<Answer>(running: Promise<Answer>): Promise<Answer> {
    const startedAt = performance.now()
    const answer = await running
    this.#roundTripMs = Math.min(this.#roundTripMs, performance.now() - startedAt)
    return answer
  }

  /** @returns the results of the lookups; without results, they must run separately */
  async #join(connection: DatabaseConnection, shape: LookupShape, lookups: readonly Lookup[]): Promise<Outcome> {
    const queries = lookups.map(({ query }) => query)
    const joined = lookups.length < 2 ? undefined : shape.plan?.join(queries)
    if (joined === undefined) return { lookups }
    const { query, queryId } = queries[0] as CompiledQuery
    const statement: JoinedQuery = { query, queryId, ...joined, lookups: queries }
    const startedAt = performance.now()
    let results: Results | undefined
    try {
      const answer = await this.#timed(connection.executeQuery<Record<string, unknown>>(statement))
      shape.costs.recordJoined(startedAt, performance.now(), lookups.length, this.#roundTripMs)
      results = separateRows(answer, lookups.length, joined.keys)
      if (results !== undefined && joined.keys === undefined && !shape.isProven && answer.rows.length > 0) {
        results = await this.#prove(connection, shape, queries, results)
      }
    } catch (error) {
      return { lookups, error }
    }
    if (results === undefined) shape.refuseForNow('its rows cannot be told apart')
    else shape.countJoined(lookups.length)
    return { lookups, results }
  }

  /** Compares the joined rows with those of the separate queries. */
  async #prove(
    connection: DatabaseConnection,
    shape: LookupShape,
    queries: readonly CompiledQuery[],
    results: Results,
  ): Promise<Results> {
    const execute = this.#source.executeUnrecorded(connection)
    const separate: QueryResult<unknown>[] = []
    for (const query of queries) separate.push(await execute(query))
    // Only rows are compared: some drivers also count rows as affected.
    const rowsOf = (all: Results) => all.map(({ rows }) => rows)
    if (nodeUtil().isDeepStrictEqual(rowsOf(results), rowsOf(separate)))
      shape.addProof(separate.flatMap(({ rows }) => rows as object[]))
    else shape.refuseForNow('it gave other rows when joined')
    return separate
  }

  async #settle(shape: LookupShape, { lookups, results, error, failedAlone }: Outcome): Promise<void> {
    if (results !== undefined) {
      for (const [index, lookup] of lookups.entries()) lookup.resolve(results[index] as QueryResult<unknown>)
    } else if (error instanceof NPlusOneError || error instanceof QueryBudgetError) {
      for (const lookup of lookups) lookup.reject(error)
    } else {
      const failed = failedAlone ?? (await this.#runSeparately(lookups))
      if (error !== undefined && !currentOwner()?.isAbandoned) this.#learnFromFailure(shape, error, failed)
    }
  }

  #learnFromFailure(shape: LookupShape, error: unknown, failedAlone: number): void {
    const { kind } = classifyError(error, this.#dialect)
    if (kind === 'timeout') shape.refuseForNow('joined, it takes longer than the timeout')
    else shape.countFailure(error, failedAlone)
  }

  async #runTrial(shape: LookupShape, lookups: readonly Lookup[]): Promise<void> {
    const startedAt = performance.now()
    await this.#runSeparately(lookups)
    if (shape.costs.recordSeparate(performance.now() - startedAt, lookups.length)) {
      shape.refuseForCosts()
    }
  }

  /** @returns how many have failed */
  async #runSeparately(lookups: readonly Lookup[]): Promise<number> {
    const hasFailed = (lookup: Lookup) => new Promise<boolean>((onEnd) => lookup.runSeparately(this.#source, onEnd))
    const failures = await Promise.all(lookups.map(hasFailed))
    return failures.filter((hasFailed) => hasFailed).length
  }
}

interface Outcome {
  readonly lookups: readonly Lookup[]
  /** Not set when the lookups must run separately. */
  readonly results?: Results | undefined
  readonly error?: unknown
  /** How many have failed. Set when the lookups have run separately, and are settled. */
  failedAlone?: number
}

async function runInTurn(connection: DatabaseConnection, lookups: readonly Lookup[]): Promise<number> {
  let failed = 0
  for (const lookup of lookups) {
    try {
      lookup.resolve(await lookup.executeOn(connection))
    } catch (error) {
      failed += 1
      lookup.reject(error)
    }
  }
  return failed
}

/**
 * @param keys - the value of the number column for each lookup, if it is not the lookup's number
 * @returns `undefined` when a row belongs to no lookup
 */
function separateRows(
  answer: QueryResult<Record<string, unknown>>,
  count: number,
  keys: readonly string[] | undefined,
): Results | undefined {
  const indexes = keys && new Map([...new Set(keys)].map((key, index) => [key, index]))
  const parts = Array.from({ length: indexes?.size ?? count }, (): object[] => [])
  const [first] = answer.rows
  const prototype: object | null = first === undefined ? Object.prototype : Object.getPrototypeOf(first)
  for (const row of answer.rows) {
    // `delete` would make every row a slow object.
    const { [numberColumn]: number, ...rest } = row
    const part = parts[indexes === undefined ? Number(number) - 1 : (indexes.get(String(number)) ?? -1)]
    if (part === undefined) return undefined
    part.push(withPrototype(rest, prototype))
  }
  const toResult = (rows: object[]) => ({ ...answer, rows })
  if (keys === undefined || keys.length === parts.length) return parts.map(toResult)
  const given = new Set<object[]>()
  return keys.map((key) => {
    const part = parts[indexes?.get(key) as number] as object[]
    // Two lookups with the same key must not share rows, because their callers may change them.
    if (given.has(part)) return toResult(part.map((row) => withPrototype(copyOf(row), prototype)))
    given.add(part)
    return toResult(part)
  })
}

function withPrototype(row: object, prototype: object | null): object {
  return prototype === Object.prototype ? row : Object.assign(Object.create(prototype), row)
}

function copyOf(row: object): object {
  return Object.fromEntries(Object.entries(row).map(([column, value]) => [column, copyOfValue(value)]))
}

/** Dates, bytes and parsed JSON are copied. Objects of a driver's own types are assumed to be immutable. */
function copyOfValue(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  return value instanceof Date || Array.isArray(value) || isPlainObject(value) ? structuredClone(value) : value
}
