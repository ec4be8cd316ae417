import { expectNumber, expectOptions, expectWholeNumber } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import type { AlertId } from '../types.ts'

/** When an alert fires: `false` is never, a bare value is the threshold. */
export type AlertRule<Threshold> =
  | false
  | Threshold
  | {
      /** The alert becomes pending above this value. */
      readonly threshold: Threshold
      /** The alert is resolved at or below this value. @defaultValue nine tenths of `threshold` */
      readonly clear?: Threshold | undefined
      /**
       * How long the value must stay above the threshold before the alert fires. @defaultValue `'30s'`; `'0s'` for `aborted`,
       * `inFlight` and `shedding`
       */
      readonly for?: Duration | undefined
      /** How many samples a value needs to be judged. @defaultValue 20 requests, or 1 sample of the system */
      readonly minSamples?: number | undefined
      /** How often the event `alert` is repeated while the alert fires. @defaultValue `'5m'` */
      readonly repeat?: Duration | undefined
    }

/** The alert rules of a monitor. Percentages are numbers from 0 to 100. */
export interface AlertOptions {
  /** P95 of an endpoint: the lower bound of its confidence interval. @defaultValue `'500ms'` */
  readonly responseTime?: AlertRule<Duration> | undefined
  /** Requests whose client gave up, percent of an endpoint's requests. @defaultValue 20 */
  readonly aborted?: AlertRule<number> | undefined
  /** Age of the oldest request under way of an endpoint, without event streams and upgrades. @defaultValue `'30s'` */
  readonly inFlight?: AlertRule<Duration> | undefined
  /** CPU usage, percent of what the process may use. @defaultValue 80 */
  readonly cpu?: AlertRule<number> | undefined
  /** Working set, percent of the memory limit. @defaultValue 85 */
  readonly memory?: AlertRule<number> | undefined
  /** Errors of a cache, percent of its requests. @defaultValue 5 */
  readonly cacheErrors?: AlertRule<number> | undefined
  /** Responses with a 5xx status, percent of the completed requests. @defaultValue 5 */
  readonly errorRate?: AlertRule<number> | undefined
  /** The longest stall of the event loop in the last 15 seconds. @defaultValue `'200ms'` */
  readonly eventLoop?: AlertRule<Duration> | undefined
  /** Space in use, percent of a file system. @defaultValue 90 */
  readonly disk?: AlertRule<number> | undefined
  /** Requests that `shedLoad` turned away, percent of those that completed or were turned away. @defaultValue 1 */
  readonly shedding?: AlertRule<number> | undefined
}

/** A rule with its defaults filled in; times in milliseconds. */
export interface ResolvedRule {
  readonly threshold: number
  readonly clear: number
  readonly forMs: number
  readonly minSamples: number
  readonly repeatMs: number
}

/** The rules that are on. */
export type ResolvedRules = ReadonlyMap<AlertId, ResolvedRule>

interface RuleDefaults {
  readonly id: AlertId
  readonly threshold: Duration | number
  readonly minSamples: number
  readonly for?: Duration
}

const defaultsByOption: { readonly [Name in keyof Required<AlertOptions>]: RuleDefaults } = {
  responseTime: { id: 'response_time', threshold: '500ms', minSamples: 20 },
  aborted: { id: 'aborted', threshold: 20, minSamples: 20, for: '0s' },
  inFlight: { id: 'in_flight', threshold: '30s', minSamples: 1, for: '0s' },
  cpu: { id: 'cpu', threshold: 80, minSamples: 1 },
  memory: { id: 'memory', threshold: 85, minSamples: 1 },
  cacheErrors: { id: 'cache_errors', threshold: 5, minSamples: 20 },
  errorRate: { id: 'error_rate', threshold: 5, minSamples: 20 },
  eventLoop: { id: 'event_loop', threshold: '200ms', minSamples: 1 },
  disk: { id: 'disk', threshold: 90, minSamples: 1 },
  shedding: { id: 'shedding', threshold: 1, minSamples: 20, for: '0s' },
}

const ruleOptions = { threshold: 'own', clear: 'own', for: 'own', minSamples: 'own', repeat: 'own' }

/** @throws TypeError or RangeError when a rule is invalid */
export function resolveRules(options: AlertOptions | false = {}): ResolvedRules {
  const rules = new Map<AlertId, ResolvedRule>()
  if (options === false) return rules
  const names = Object.keys(defaultsByOption) as (keyof AlertOptions)[]
  expectOptions(options, Object.fromEntries(names.map((name) => [name, 'own'])), 'alerts')
  for (const name of names) {
    const defaults = defaultsByOption[name]
    const { [name]: rule = defaults.threshold } = options
    if (rule !== false) rules.set(defaults.id, resolveRule(rule, name, defaults))
  }
  return rules
}

function resolveRule(
  rule: Exclude<AlertRule<Duration | number>, false>,
  name: string,
  defaults: RuleDefaults,
): ResolvedRule {
  const parse = typeof defaults.threshold === 'string' ? parseDuration : expectPercent
  const detailed = typeof rule === 'object' ? rule : { threshold: rule }
  expectOptions(detailed, ruleOptions, `alerts.${name}`)
  const { clear, for: forDuration = defaults.for ?? '30s', minSamples = defaults.minSamples, repeat = '5m' } = detailed
  const threshold = parse(detailed.threshold, typeof rule === 'object' ? `alerts.${name}.threshold` : `alerts.${name}`)
  const clearAt = clear === undefined ? threshold * 0.9 : parse(clear, `alerts.${name}.clear`)
  return {
    threshold,
    clear: expectNumber(clearAt, `alerts.${name}.clear`, { min: 0, max: threshold }),
    forMs: parseDuration(forDuration, `alerts.${name}.for`),
    minSamples: expectWholeNumber(minSamples, `alerts.${name}.minSamples`, { min: 1 }),
    repeatMs: parseDuration(repeat, `alerts.${name}.repeat`),
  }
}

function expectPercent(value: unknown, option: string): number {
  return expectNumber(value, option, { min: 0, max: 100 })
}
