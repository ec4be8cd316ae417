import type { ResolvedRule, ResolvedRules } from './alert-rules.ts'
import type { ActiveAlert, AlertCause, AlertEvent, AlertId } from './types.ts'

/** What a rule is about, as it is now. */
export interface Observation {
  readonly id: AlertId
  /** The endpoint, cache or file system; `null` for the process. */
  readonly target: string | null
  /** `null` when there is nothing to judge. */
  readonly value: number | null
  readonly samples: number
}

interface Entry {
  readonly id: AlertId
  readonly target: string | null
  state: ActiveAlert['state']
  since: number
  toldAt: number
  value: number
  samples: number
}

/**
 * The life of each alert: over the threshold it is pending, after `for` it fires, at or under `clear` it is resolved.
 * Between `clear` and the threshold nothing changes, so that a value that trembles does not ring twice.
 */
export class Alerts {
  readonly #rules: ResolvedRules
  readonly #keepMs: number
  readonly #causeOf: () => AlertCause
  readonly #onEvent: (event: AlertEvent) => void
  readonly #entries = new Map<string, Entry>()

  /**
   * @param keepMs - how long a resolved alert is still listed
   * @param causeOf - what goes on while an alert is told or listed
   */
  constructor(rules: ResolvedRules, keepMs: number, causeOf: () => AlertCause, onEvent: (event: AlertEvent) => void) {
    this.#rules = rules
    this.#keepMs = keepMs
    this.#causeOf = causeOf
    this.#onEvent = onEvent
  }

  /** The rule, if it is on. */
  rule(id: AlertId): ResolvedRule | undefined {
    return this.#rules.get(id)
  }

  /** Whether there is something to follow up about the target, even if it is well now. */
  isOpen(id: AlertId, target: string | null): boolean {
    return this.#entries.has(keyOf(id, target))
  }

  /** Judges all observations of one moment. What was observed before and is not any more counts as well. */
  evaluate(now: number, observations: Iterable<Observation>): void {
    const observed = new Set<string>()
    for (const observation of observations) {
      observed.add(keyOf(observation.id, observation.target))
      this.#judge(now, observation)
    }
    for (const [key, { id, target }] of this.#entries) {
      if (!observed.has(key)) this.#judge(now, { id, target, value: null, samples: 0 })
    }
  }

  list(): ActiveAlert[] {
    if (this.#entries.size === 0) return []
    const cause = this.#causeOf()
    return [...this.#entries.values()].map((entry) => this.#describe(entry, cause))
  }

  clear(): void {
    this.#entries.clear()
  }

  #judge(now: number, { id, target, value, samples }: Observation): void {
    const rule = this.#rules.get(id)
    if (rule === undefined) return
    const key = keyOf(id, target)
    const isHigh = value !== null && value > rule.threshold && samples >= rule.minSamples
    const entry = this.#entries.get(key) ?? (isHigh ? this.#open(key, id, target, now) : undefined)
    if (entry === undefined) return
    if (value !== null) Object.assign(entry, { value, samples })
    if (entry.state === 'resolved') {
      if (isHigh) Object.assign(entry, { state: 'pending', since: now })
      else if (now - entry.since >= this.#keepMs) this.#entries.delete(key)
    }
    if (entry.state === 'pending') {
      if (!isHigh) this.#entries.delete(key)
      else if (now - entry.since >= rule.forMs) this.#move(entry, 'firing', now)
    } else if (entry.state === 'firing') {
      if (value === null || value <= rule.clear) this.#move(entry, 'resolved', now)
      else if (now - entry.toldAt >= rule.repeatMs) this.#tell(entry, now, true)
    }
  }

  #open(key: string, id: AlertId, target: string | null, now: number): Entry {
    const entry: Entry = { id, target, state: 'pending', since: now, toldAt: now, value: 0, samples: 0 }
    this.#entries.set(key, entry)
    return entry
  }

  #move(entry: Entry, state: 'firing' | 'resolved', now: number): void {
    entry.state = state
    entry.since = now
    this.#tell(entry, now, false)
  }

  #tell(entry: Entry, now: number, repeated: boolean): void {
    entry.toldAt = now
    const alert = this.#describe(entry, this.#causeOf())
    this.#onEvent({ ...alert, state: alert.state as AlertEvent['state'], repeated })
  }

  #describe({ id, state, since, value, target, samples }: Entry, cause: AlertCause): ActiveAlert {
    const { threshold } = this.#rules.get(id)!
    return { id, state, since: new Date(since).toISOString(), value, threshold, target, samples, cause }
  }
}

function keyOf(id: AlertId, target: string | null): string {
  return `${id} ${target ?? ''}`
}
