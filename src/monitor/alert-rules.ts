import { expectNumber, expectWholeNumber } from '../shared/assertions.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import type { AlertId } from './types.ts'

/** When a rule fires: off, a threshold, or a threshold and how it is applied. */
export type AlertRule<Threshold> =
  | false
  | Threshold
  | {
      /** Above this it is a problem. */
      readonly threshold: Threshold
      /** At or below this it is over; between the two nothing changes. @defaultValue nine tenths of `threshold` */
      readonly clear?: Threshold | undefined
      /** How long it must last before it fires. @defaultValue `'30s'` */
      readonly for?: Duration | undefined
      /** What it must rest on. @defaultValue 20 requests, or 1 sample of the system */
      readonly minSamples?: number | undefined
      /** How often a firing alert is told again. @defaultValue `'5m'` */
      readonly repeat?: Duration | undefined
    }

/** The rules of a monitor. Percentages are numbers from 0 to 100, times are durations. */
export interface AlertOptions {
  /** P95 of an endpoint, by the lower bound of its confidence interval. @defaultValue `'500ms'` */
  readonly responseTime?: AlertRule<Duration> | undefined
  /** Processor use, of what the process may use. @defaultValue 80 */
  readonly cpu?: AlertRule<number> | undefined
  /** Working set, of the memory limit. @defaultValue 85 */
  readonly memory?: AlertRule<number> | undefined
  /** Errors of a cache, of its requests. @defaultValue 5 */
  readonly cacheErrors?: AlertRule<number> | undefined
  /** 5xx answers, of the completed requests. @defaultValue 5 */
  readonly errorRate?: AlertRule<number> | undefined
  /** The longest block of the event loop in the last 15 seconds. @defaultValue `'200ms'` */
  readonly eventLoop?: AlertRule<Duration> | undefined
  /** Use of a file system. @defaultValue 90 */
  readonly disk?: AlertRule<number> | undefined
}

/** A rule with nothing left to decide; times in milliseconds. */
export interface ResolvedRule {
  readonly threshold: number
  readonly clear: number
  readonly forMs: number
  readonly minSamples: number
  readonly repeatMs: number
}

/** Rules that are on. */
export type ResolvedRules = ReadonlyMap<AlertId, ResolvedRule>

/** Checks the rules and fills in the defaults. */
export function resolveRules(options: AlertOptions | false | undefined): ResolvedRules {
  if (options === false) return new Map()
  const {
    responseTime = '500ms',
    cpu = 80,
    memory = 85,
    cacheErrors = 5,
    errorRate = 5,
    eventLoop = '200ms',
    disk = 90,
  } = options ?? {}
  const rules: Array<[AlertId, ResolvedRule | undefined]> = [
    ['response_time', resolve(responseTime, 'responseTime', parseDuration, 20)],
    ['cpu', resolve(cpu, 'cpu', percent, 1)],
    ['memory', resolve(memory, 'memory', percent, 1)],
    ['cache_errors', resolve(cacheErrors, 'cacheErrors', percent, 20)],
    ['error_rate', resolve(errorRate, 'errorRate', percent, 20)],
    ['event_loop', resolve(eventLoop, 'eventLoop', parseDuration, 1)],
    ['disk', resolve(disk, 'disk', percent, 1)],
  ]
  return new Map(rules.filter((rule): rule is [AlertId, ResolvedRule] => rule[1] !== undefined))
}

function resolve<Threshold extends Duration | number>(
  rule: AlertRule<Threshold>,
  name: string,
  parse: (value: unknown, option: string) => number,
  fewest: number,
): ResolvedRule | undefined {
  if (rule === false) return undefined
  const detailed = typeof rule === 'object' ? rule : { threshold: rule }
  const { clear, for: wait = '30s', minSamples = fewest, repeat = '5m' } = detailed
  const threshold = parse(detailed.threshold, `alerts.${name}`)
  const clearAt = clear === undefined ? threshold * 0.9 : parse(clear, `alerts.${name}.clear`)
  return {
    threshold,
    clear: expectNumber(clearAt, `alerts.${name}.clear`, { min: 0, max: threshold }),
    forMs: parseDuration(wait, `alerts.${name}.for`),
    minSamples: expectWholeNumber(minSamples, `alerts.${name}.minSamples`, { min: 1 }),
    repeatMs: parseDuration(repeat, `alerts.${name}.repeat`),
  }
}

function percent(value: unknown, option: string): number {
  return expectNumber(value, option, { min: 0, max: 100 })
}
