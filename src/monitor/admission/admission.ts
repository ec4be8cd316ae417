import { expectObject } from '../../shared/arguments.ts'

/** How much a request matters. Under load, `low` is turned away first, and `critical` never. */
export type Priority = 'critical' | 'normal' | 'low'

/** Why a request was turned away: it would have waited too long for the event loop, or too many like it were in flight. */
export type ShedReason = 'wait' | 'concurrency'

/** Number of requests that were turned away for this reason since the start. */
export interface ShedCount {
  readonly reason: ShedReason
  readonly priority: Exclude<Priority, 'critical'>
  readonly count: number
}

/** Requests that share a limit of their own. */
export interface LimitedRequests {
  /** The method and the shape of the path, in which `:` stands for each part with a digit, as in `GET /users/:`. */
  readonly target: string
  readonly limit: number
  readonly inFlight: number
}

/** What admission control does now. */
export interface AdmissionStats {
  /**
   * How many requests may be in flight: the option `concurrency` if it is a number, else the sum of {@link limits}. `null` while
   * nothing is limited.
   */
  readonly limit: number | null
  /** Requests whose handler has started and whose response has not ended. */
  readonly inFlight: number
  /** Number of requests that were turned away since the start. */
  readonly shed: number
  /** How long a request that arrives now would wait for its handler; 0 while the event loop keeps up. */
  readonly waitMs: number
  /** `shedding` while the event loop stays behind, and for a second after a request was turned away. */
  readonly state: 'open' | 'shedding'
  /** The requests that are limited now. */
  readonly limits: readonly LimitedRequests[]
  /** The requests that were turned away, by reason and priority. Pairs that did not occur are left out. */
  readonly shedBy: readonly ShedCount[]
}

/** A guard at the entrance of one application, as its monitor sees it. */
export interface AdmissionSource {
  read(): AdmissionStats
  /** Share of the latest requests that were turned away, 0..1; 0 when none was turned away in the last seconds. */
  readonly shedRatio: number
  /**
   * For how long the guard has turned requests away, pauses of up to 5 seconds included; `undefined` while it turns none
   * away.
   */
  readonly sheddingMs: number | undefined
}

/** The guards of one monitor: one for each application. */
export class Admission {
  readonly #sources = new Set<AdmissionSource>()

  /** Adds a guard; returns a function that removes it. */
  add(source: AdmissionSource): () => void {
    expectObject(source, 'source', ['read'])
    this.#sources.add(source)
    return () => this.#sources.delete(source)
  }

  get hasSources(): boolean {
    return this.#sources.size > 0
  }

  get shedRatio(): number {
    return Math.max(0, ...[...this.#sources].map(({ shedRatio }) => shedRatio))
  }

  get sheddingMs(): number | undefined {
    const all = [...this.#sources].map(({ sheddingMs }) => sheddingMs).filter((ms) => ms !== undefined)
    return all.length === 0 ? undefined : Math.max(...all)
  }

  /** The numbers of all guards together. */
  read(): AdmissionStats {
    const all = [...this.#sources].map((source) => source.read())
    const limits = all.map(({ limit }) => limit).filter((limit) => limit !== null)
    const counts = new Map<string, ShedCount>()
    for (const count of all.flatMap(({ shedBy }) => shedBy)) {
      const key = `${count.reason} ${count.priority}`
      counts.set(key, { ...count, count: count.count + (counts.get(key)?.count ?? 0) })
    }
    return {
      limit: limits.length === 0 ? null : sum(limits),
      inFlight: sum(all.map(({ inFlight }) => inFlight)),
      shed: sum(all.map(({ shed }) => shed)),
      waitMs: Math.max(0, ...all.map(({ waitMs }) => waitMs)),
      state: all.some(({ state }) => state === 'shedding') ? 'shedding' : 'open',
      limits: all.flatMap((stats) => stats.limits),
      shedBy: [...counts.values()],
    }
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
