import {
  expectFunction,
  expectOneOf,
  expectOptions,
  expectString,
  expectWholeNumber,
  type OptionKinds,
} from '../shared/arguments.ts'
import { watchRejection } from '../shared/rejections.ts'
import { encodeHdr } from './exposition/encode-hdr.ts'
import type { MetricsSources } from './exposition/metric-families.ts'
import type { Publication } from './fleet/publication.ts'
import { endpointWidth } from './traffic/endpoint.ts'
import { toHistory } from './traffic/history.ts'
import type { Reading } from './traffic/reading.ts'
import { Tally } from './traffic/tally.ts'
import { toTimingStats } from './traffic/timings.ts'
import { selectEndpoints, toEndpointStats, toRequestStats } from './traffic/traffic-stats.ts'
import type { DatabaseSection, EndpointStats, FleetStats, StatsDocument, StatsQuery } from './types.ts'

/** Where the sections of a document come from. */
export interface DocumentSources extends MetricsSources {
  /** Called when a source that the user added throws. */
  readonly onSourceError: (name: string, error: unknown) => void
}

const statsQuery: OptionKinds<StatsQuery> = {
  sort: 'own',
  limit: 'own',
  route: 'text',
  method: 'text',
  history: 'boolean',
}

function expectQuery(query: StatsQuery): void {
  expectOptions(query, statsQuery, 'query')
  expectOneOf(query.sort, 'query.sort', [undefined, 'p95', 'count', 'total', 'errors'])
  if (query.limit !== undefined) expectWholeNumber(query.limit, 'query.limit', { min: 1 })
}

/** Makes the stats documents of one process, and its publications for the fleet. */
export class StatsDocuments {
  readonly #sources: DocumentSources
  readonly #added = new Map<string, () => unknown>()
  #startedAt: number

  constructor(sources: DocumentSources) {
    this.#sources = sources
    this.#startedAt = sources.settings.clock()
  }

  /** Adds a section; returns a function that removes it. */
  addSource(name: string, read: () => unknown): () => void {
    expectString(name, 'name')
    expectFunction(read, 'read')
    this.#added.set(name, read)
    return () => {
      if (this.#added.get(name) === read) this.#added.delete(name)
    }
  }

  /** The document of this process as it is now. Yields after each endpoint, for `runInSlices`. */
  ofProcess(query: StatsQuery): Generator<void, StatsDocument> {
    return this.#render(query, null, (now) => {
      const history = query.history === true ? this.#sources.recorder.readHistory(now) : []
      return { ...this.#read(now), history }
    })
  }

  /** The document of a fleet, from the merged reading of its members. Yields after each endpoint, for `runInSlices`. */
  ofFleet(reading: Reading, query: StatsQuery, fleet: FleetStats): Generator<void, StatsDocument> {
    return this.#render(query, fleet, () => reading)
  }

  /** @throws TypeError when `method` or `route` is no text */
  endpoint(method: string, route: string): EndpointStats | undefined {
    expectString(method, 'method')
    expectString(route, 'route')
    const { settings, recorder } = this.#sources
    const now = settings.clock()
    const endpoint = recorder.find(method, route)
    if (endpoint === undefined) return undefined
    return toEndpointStats(recorder.readEndpoint(endpoint, now), { ...settings, coveredMs: recorder.coveredMs(now) })
  }

  async toHdr(method: string, route: string): Promise<string> {
    expectString(method, 'method')
    expectString(route, 'route')
    const { settings, recorder } = this.#sources
    const tally = new Tally(endpointWidth(settings.layout), settings.layout)
    recorder.find(method, route)?.window.readInto(tally, settings.clock())
    return encodeHdr(tally, settings.layout)
  }

  /** The numbers of this process now, for the fleet. */
  publication(): Publication {
    const { settings, system } = this.#sources
    const now = settings.clock()
    const { cpuPercent, memoryPercent } = system.stats(now)
    return { release: settings.release, cpuPercent, memoryPercent, reading: this.#read(now) }
  }

  #read(now: number): Reading {
    const { recorder, caches } = this.#sources
    return { ...recorder.read(now), caches: caches.rows(now) }
  }

  *#render(
    query: StatsQuery,
    fleet: FleetStats | null,
    read: (now: number) => Reading,
  ): Generator<void, StatsDocument> {
    expectQuery(query)
    const renderStartedAt = performance.now()
    const { settings, recorder, system, alerts, admission } = this.#sources
    const now = settings.clock()
    const reading = read(now)
    const { service, release, instance, slicing } = settings
    // The clock of Workers stands at 0 until the first request.
    if (this.#startedAt === 0) this.#startedAt = now
    // Read before the first yield, so that these sections belong to the same moment.
    const sections = {
      database: this.readDatabase(),
      additions: this.#readAdditions(),
      system: system.stats(now),
      alerts: alerts.list(),
      slow: recorder.listSlow(now),
      admission: admission.hasSources ? admission.read() : null,
    }
    const { memoryBytes } = recorder
    const traffic = { ...settings, coveredMs: reading.coveredMs }
    const document = {
      schema: 'posthaste.performance/1' as const,
      scope: fleet === null ? ('instance' as const) : ('fleet' as const),
      service,
      release,
      instance,
      generatedAt: settings.wall.isoOf(now),
      uptimeMs: now - this.#startedAt,
      windowMs: slicing.windowMs,
      coveredMs: Math.min(slicing.windowMs, reading.coveredMs),
      requests: yield* toRequestStats(reading, traffic),
      endpoints: yield* selectEndpoints(reading.endpoints, query, traffic),
      timings: toTimingStats(reading.timings, settings.layout),
      cache: reading.caches,
      ...sections,
      fleet,
      history: query.history === true ? yield* toHistory(reading.history, settings.wall.at(now), traffic) : null,
    }
    const { endpoints, overflow, clamped } = reading
    const renderMs = performance.now() - renderStartedAt
    return { ...document, self: { endpoints: endpoints.length, overflow, clamped, memoryBytes, renderMs } }
  }

  /** The section of that name, which `instrument` adds; `null` without it. */
  readDatabase(): DatabaseSection | null {
    const [section = null] = this.#readSource('database')
    return section as DatabaseSection | null
  }

  #readAdditions(): StatsDocument['additions'] {
    const names = [...this.#added.keys()].filter((name) => name !== 'database')
    // Not by assignment: a source may be called `__proto__`.
    return Object.fromEntries(names.flatMap((name) => this.#readSource(name).map((section) => [name, section])))
  }

  /** A list with the section, which may be `undefined`; an empty list when the source failed. */
  #readSource(name: string): unknown[] {
    const onFailed = (error: unknown) => this.#sources.onSourceError(name, error)
    try {
      const section = this.#added.get(name)?.()
      if (watchRejection(section, onFailed)) onFailed('it returned a promise, which no document can wait for')
      else if (name !== 'database' || isDatabaseSection(section ?? noQueries)) return [section]
      else onFailed('it returned no database section, which has the lists `queries`, `slow` and `nPlusOne`')
    } catch (error) {
      onFailed(error)
    }
    return []
  }
}

const noQueries: DatabaseSection = { queries: [], slow: [], nPlusOne: [] }

function isDatabaseSection(section: unknown): boolean {
  const { queries, slow, nPlusOne, abandoned, autoBatch } = section as Partial<DatabaseSection>
  const lists = [queries, slow, nPlusOne, ...(autoBatch === undefined ? [] : [autoBatch.shapes])]
  const { cancelled = 0, dequeued = 0, refused = 0 } = abandoned ?? {}
  const numbers = [cancelled, dequeued, refused, autoBatch?.queries ?? 0, autoBatch?.statements ?? 0]
  return lists.every(Array.isArray) && numbers.every((value) => typeof value === 'number')
}
