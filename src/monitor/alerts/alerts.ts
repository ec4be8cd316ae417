import type { ActiveAlert, AlertCause, AlertEvent, AlertId } from '../types.ts'
import type { WallClock } from '../wall-clock.ts'
import type { ResolvedRule, ResolvedRules } from './alert-rules.ts'

/** A value for a rule to judge. */
export interface Measurement {
  readonly id: AlertId
  /** The endpoint, cache or file system; `null` for the process. */
  readonly target: string | null
  /** `null` when nothing was measured. */
  readonly value: number | null
  readonly samples: number
}

/** An alert that is pending, firing or resolved; times in milliseconds of the monitor's clock. */
interface ListedAlert {
  readonly id: AlertId
  readonly target: string | null
  state: ActiveAlert['state']
  since: number
  notifiedAt: number
  value: number
  samples: number
}

/** Returns the likely cause of an alert. */
export type CauseOf = (id: AlertId, target: string | null) => AlertCause

interface AlertsOptions {
  /** How long a resolved alert stays listed, in milliseconds. */
  readonly keepMs: number
  readonly wall: Pick<WallClock, 'isoOf'>
  /** Reads what goes on now, for the causes of all alerts. */
  readonly findCauses: () => CauseOf
  readonly onEvent: (event: AlertEvent) => void
}

/**
 * The states of all alerts. Over its threshold an alert becomes pending, after `for` it fires, and at or under `clear` it is
 * resolved. Between `clear` and the threshold nothing changes, so that a value that varies around the threshold fires once.
 */
export class Alerts {
  readonly #rules: ResolvedRules
  readonly #options: AlertsOptions
  readonly #listed = new Map<string, ListedAlert>()

  constructor(rules: ResolvedRules, options: AlertsOptions) {
    this.#rules = rules
    this.#options = options
  }

  /** The rule, if it is on. */
  rule(id: AlertId): ResolvedRule | undefined {
    return this.#rules.get(id)
  }

  /** Whether the target has an alert in any state. */
  isListed(id: AlertId, target: string | null): boolean {
    return this.#listed.has(keyOf(id, target))
  }

  /** Judges the measurements of one moment. A listed alert without a measurement is judged by the value `null`. */
  evaluate(now: number, measurements: Iterable<Measurement>): void {
    const measured = new Set<string>()
    for (const measurement of measurements) {
      measured.add(keyOf(measurement.id, measurement.target))
      this.#judge(now, measurement)
    }
    for (const [key, { id, target }] of this.#listed) {
      if (!measured.has(key)) this.#judge(now, { id, target, value: null, samples: 0 })
    }
  }

  list(): ActiveAlert[] {
    if (this.#listed.size === 0) return []
    const causeOf = this.#options.findCauses()
    return [...this.#listed.values()].map((alert) => this.#toActiveAlert(alert, causeOf))
  }

  clear(): void {
    this.#listed.clear()
  }

  #judge(now: number, { id, target, value, samples }: Measurement): void {
    const rule = this.#rules.get(id)
    if (rule === undefined) return
    const key = keyOf(id, target)
    const isHigh = value !== null && value > rule.threshold && samples >= rule.minSamples
    const alert = this.#listed.get(key) ?? (isHigh ? this.#add(key, id, target, now) : undefined)
    if (alert === undefined) return
    if (value !== null) Object.assign(alert, { value, samples })
    if (alert.state === 'resolved') {
      if (isHigh) Object.assign(alert, { state: 'pending', since: now })
      else if (now - alert.since >= this.#options.keepMs) this.#listed.delete(key)
    }
    if (alert.state === 'pending') {
      if (!isHigh) this.#listed.delete(key)
      else if (now - alert.since >= rule.forMs) this.#enter(alert, 'firing', now)
    } else if (alert.state === 'firing') {
      if (value === null || value <= rule.clear) this.#enter(alert, 'resolved', now)
      else if (now - alert.notifiedAt >= rule.repeatMs) this.#notify(alert, now, true)
    }
  }

  #add(key: string, id: AlertId, target: string | null, now: number): ListedAlert {
    const alert: ListedAlert = { id, target, state: 'pending', since: now, notifiedAt: now, value: 0, samples: 0 }
    this.#listed.set(key, alert)
    return alert
  }

  #enter(alert: ListedAlert, state: 'firing' | 'resolved', now: number): void {
    alert.state = state
    alert.since = now
    this.#notify(alert, now, false)
  }

  #notify(alert: ListedAlert, now: number, repeated: boolean): void {
    alert.notifiedAt = now
    const active = this.#toActiveAlert(alert, this.#options.findCauses())
    this.#options.onEvent({ ...active, state: active.state as AlertEvent['state'], repeated })
  }

  #toActiveAlert({ id, state, since, value, target, samples }: ListedAlert, causeOf: CauseOf): ActiveAlert {
    const { threshold } = this.#rules.get(id)!
    const cause = causeOf(id, target)
    return { id, state, since: this.#options.wall.isoOf(since), value, threshold, target, samples, cause }
  }
}

function keyOf(id: AlertId, target: string | null): string {
  return `${id} ${target ?? ''}`
}
