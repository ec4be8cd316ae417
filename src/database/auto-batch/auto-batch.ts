import type { CompiledQuery, QueryResult } from 'kysely'
import type { SqlDialect } from '../../shared/sql/statement.ts'
import type { AcquireOptions } from '../execute.ts'
import type { AutoBatchReport, AutoBatchShape } from '../types.ts'
import type { JoinPlan } from './join-plan.ts'
import { type ConnectionSource, Lookup } from './lookup.ts'
import { GroupRunner } from './lookup-group.ts'
import { LookupShape } from './lookup-shape.ts'

const maxShapes = 1_000
/** PostgreSQL's protocol counts the parameters of a statement in 16 bits; SQLite takes 32,766. */
const maxParameters = 30_000

/**
 * `min`: from how many lookups on joining pays. `max`: how many copies one union may have. SQLite has no round trip to
 * save, so only large groups cost less.
 */
const sizes = {
  postgres: { min: 2, max: Infinity },
  mysql: { min: 3, max: 100 },
  sqlite: { min: 50, max: 100 },
} as const

/** On SQLite, after so many lookups in a row that met no others, the next ones run at once. */
const enoughAlone = 50

/** The dialects in which lookups can be joined. */
export type BatchDialect = Exclude<SqlDialect, 'mssql'>

interface AutoBatchSettings {
  readonly dialect: BatchDialect
  readonly maxBatch: number
  readonly source: ConnectionSource
  /** @returns the plan, or why the query cannot be joined */
  readonly planFor: (query: CompiledQuery) => JoinPlan | string
  /** The shape of a query, as reports name it. */
  readonly shapeText: (query: CompiledQuery) => string
}

/** Collects the lookups of one turn of the event loop, and sends those with the same SQL as one statement. */
export class AutoBatch {
  readonly #settings: AutoBatchSettings
  readonly #shapesBySql = new Map<string, LookupShape>()
  readonly #runner: GroupRunner
  #queue: Lookup[] = []
  #queries = 0
  #statements = 0
  #built: CompiledQuery | undefined
  /** On SQLite, how many lookups in a row met no others. */
  #aloneInRow = 0
  #isOneAlone = false
  #isReady = false
  #builtBeforeReady = new WeakSet<CompiledQuery>()

  constructor(settings: AutoBatchSettings) {
    this.#settings = settings
    this.#runner = new GroupRunner(settings.source, settings.dialect)
  }

  recordBuilt(query: CompiledQuery): void {
    this.#built = query
    if (!this.#isReady) this.#builtBeforeReady.add(query)
  }

  /** The driver is open: from now on Kysely requests the connection in the same turn in which it has built the query. */
  recordReady(): void {
    this.#isReady = true
    // Queries that waited for the driver request their connections in this turn.
    process.nextTick(() => {
      this.#builtBeforeReady = new WeakSet()
    })
  }

  /** The query that was built last, for which a connection is requested now. */
  takeBuilt(): CompiledQuery | undefined {
    const built = this.#built
    this.#built = undefined
    return built
  }

  /**
   * Whether the query may wait for others.
   *
   * @param built - what was built right before its connection was requested
   */
  isLookup(query: CompiledQuery, built: CompiledQuery | undefined): boolean {
    if (query.query.kind !== 'SelectQueryNode') return false
    return query === built || this.#builtBeforeReady.has(query)
  }

  /**
   * Whether the query may run at once, because the queries before it met no others. On SQLite, waiting for the end of the
   * turn takes a large part of the time of a statement.
   *
   * @returns if `true`, {@link endAlone} should follow; if it does not, as when no connection is given, the next query waits
   *   for others again
   */
  beginAlone({ query }: CompiledQuery): boolean {
    if (this.#aloneInRow < enoughAlone || query.kind !== 'SelectQueryNode') return false
    // Several are under way, so they may meet.
    if (this.#isOneAlone || this.#queue.length > 0) this.#aloneInRow = 0
    this.#isOneAlone = this.#aloneInRow > 0
    return this.#isOneAlone
  }

  endAlone(): void {
    this.#isOneAlone = false
  }

  ask(query: CompiledQuery, options: unknown, acquireOptions: AcquireOptions): Promise<QueryResult<unknown>> {
    const lookup = new Lookup(query, options, acquireOptions)
    // Promise jobs run before the next tick, so `flush` finds all lookups that are asked for in this turn.
    if (this.#queue.push(lookup) === 1) process.nextTick(this.flush)
    return lookup.promise
  }

  /** Sends the lookups that wait. */
  readonly flush = (): void => {
    const lookups = this.#queue
    if (lookups.length === 0) return
    this.#queue = []
    const [first] = lookups as [Lookup]
    if (lookups.length === 1) {
      if (this.#settings.dialect === 'sqlite') this.#aloneInRow += 1
      first.runSeparately(this.#settings.source)
      return
    }
    this.#aloneInRow = 0
    for (const group of this.#groups(lookups)) this.#send(group)
  }

  report(): AutoBatchReport {
    const shapes = new Map<string, AutoBatchShape>()
    let [queries, statements] = [this.#queries, this.#statements]
    for (const shape of this.#shapesBySql.values()) {
      const snapshot = shape.snapshot()
      queries += snapshot.queries
      statements += snapshot.statements
      const known = shapes.get(shape.text)
      shapes.set(shape.text, known === undefined ? snapshot : sumOf(known, snapshot))
    }
    return { queries, statements, shapes: [...shapes.values()].sort((one, other) => other.queries - one.queries) }
  }

  #groups(lookups: readonly Lookup[]): Iterable<Group> {
    const groupsBySql = new Map<string, Group[]>()
    for (const lookup of lookups) {
      const groups = groupsBySql.get(lookup.query.sql)
      if (groups === undefined) groupsBySql.set(lookup.query.sql, [new Group(this.#shapeOf(lookup.query), lookup)])
      else if (!groups.some((group) => group.add(lookup))) groups.push(new Group((groups[0] as Group).shape, lookup))
    }
    return [...groupsBySql.values()].flat()
  }

  #send({ shape, lookups }: Group): void {
    const { dialect, maxBatch, source } = this.#settings
    const { min, max } = sizes[dialect]
    const [first] = lookups as [Lookup, ...Lookup[]]
    if (shape.plan === undefined || lookups.length < min) {
      for (const lookup of lookups) lookup.runSeparately(source)
      return
    }
    const perLookup = first.query.parameters.length || 1
    const size = Math.max(1, Math.min(maxBatch, max, Math.floor(maxParameters / perLookup)))
    void first.runInContext(() => this.#runner.run(shape, lookups, size))
  }

  #shapeOf(query: CompiledQuery): LookupShape {
    const known = this.#shapesBySql.get(query.sql)
    if (known !== undefined) return known
    const shape = new LookupShape(this.#settings.shapeText(query), this.#settings.planFor(query))
    if (this.#shapesBySql.size >= maxShapes) this.#forgetOldest()
    this.#shapesBySql.set(query.sql, shape)
    return shape
  }

  #forgetOldest(): void {
    for (const [sql, { queries, statements }] of this.#shapesBySql) {
      this.#queries += queries
      this.#statements += statements
      this.#shapesBySql.delete(sql)
      return
    }
  }
}

/** Lookups of one shape that one connection may serve. */
class Group {
  readonly shape: LookupShape
  readonly lookups: Lookup[]

  constructor(shape: LookupShape, first: Lookup) {
    this.shape = shape
    this.lookups = [first]
  }

  /** @returns whether the lookup belongs to the group */
  add(lookup: Lookup): boolean {
    const first = this.lookups[0] as Lookup
    if (!lookup.canJoin(first)) return false
    const shared = this.shape.plan?.sharedPositions ?? []
    if (!shared.every((position) => lookup.query.parameters[position] === first.query.parameters[position])) {
      this.shape.hasKeptApart = true
      return false
    }
    this.lookups.push(lookup)
    return true
  }
}

function sumOf(one: AutoBatchShape, other: AutoBatchShape): AutoBatchShape {
  return { ...one, ...other, queries: one.queries + other.queries, statements: one.statements + other.statements }
}
