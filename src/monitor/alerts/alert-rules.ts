import { expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import { expectNumber, expectWholeNumber } from '../../shared/assertions.ts'
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

const alertOptions: OptionKinds<AlertOptions> = {
  responseTime: 'own',
  aborted: 'own',
  inFlight: 'own',
  cpu: 'own',
  memory: 'own',
  cacheErrors: 'own',
  errorRate: 'own',
  eventLoop: 'own',
  disk: 'own',
  shedding: 'own',
}

const ruleOptions = { threshold: 'own', clear: 'own', for: 'own', minSamples: 'own', repeat: 'own' }

/** @throws TypeError or RangeError when a rule is invalid */
export function resolveRules(options: AlertOptions | false | undefined): ResolvedRules {
  if (options === false) return new Map()
  if (options !== undefined) expectOptions(options, alertOptions, 'alerts')
  const {
    responseTime = '500ms',
    aborted = 20,
    inFlight = '30s',
    cpu = 80,
    memory = 85,
    cacheErrors = 5,
    errorRate = 5,
    eventLoop = '200ms',
    disk = 90,
    shedding = 1,
  } = options ?? {}
  const rules: Array<[AlertId, ResolvedRule | undefined]> = [
    ['response_time', resolveRule(responseTime, 'responseTime', parseDuration, 20)],
    ['aborted', resolveRule(aborted, 'aborted', expectPercent, 20, '0s')],
    ['in_flight', resolveRule(inFlight, 'inFlight', parseDuration, 1, '0s')],
    ['cpu', resolveRule(cpu, 'cpu', expectPercent, 1)],
    ['memory', resolveRule(memory, 'memory', expectPercent, 1)],
    ['cache_errors', resolveRule(cacheErrors, 'cacheErrors', expectPercent, 20)],
    ['error_rate', resolveRule(errorRate, 'errorRate', expectPercent, 20)],
    ['event_loop', resolveRule(eventLoop, 'eventLoop', parseDuration, 1)],
    ['disk', resolveRule(disk, 'disk', expectPercent, 1)],
    ['shedding', resolveRule(shedding, 'shedding', expectPercent, 20, '0s')],
  ]
  return new Map(rules.filter((rule): rule is [AlertId, ResolvedRule] => rule[1] !== undefined))
}

function resolveRule<Threshold extends Duration | number>(
  rule: AlertRule<Threshold>,
  name: string,
  parse: (value: unknown, option: string) => number,
  defaultMinSamples: number,
  defaultFor: Duration = '30s',
): ResolvedRule | undefined {
  if (rule === false) return undefined
  const detailed = typeof rule === 'object' ? rule : { threshold: rule }
  expectOptions(detailed, ruleOptions, `alerts.${name}`)
  const { clear, for: forDuration = defaultFor, minSamples = defaultMinSamples, repeat = '5m' } = detailed
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
