import { hostname } from 'node:os'
import {
  describeValue,
  expectNumber,
  expectObject,
  expectOneOf,
  expectOptions,
  expectWholeNumber,
  type OptionKinds,
} from '../shared/arguments.ts'
import { BucketLayout, toMicroseconds } from '../shared/buckets.ts'
import { messageOf } from '../shared/errors.ts'
import { isNode, isWorkers, readOrNull } from '../shared/platform/runtime.ts'
import { watchRejection } from '../shared/rejections.ts'
import { type Clock, systemClock } from '../shared/time/clock.ts'
import { type Duration, parseDuration } from '../shared/time/duration.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import { type AlertOptions, type ResolvedRules, resolveRules } from './alerts/alert-rules.ts'
import type { CacheLike } from './cache-watch.ts'
import type { FleetTransport } from './fleet/transport.ts'
import { type SystemReaders, systemReaders } from './system/readers.ts'
import type { OverloadLimits } from './system/sampler.ts'
import { defaultBoundsUs } from './traffic/prometheus-histogram.ts'
import { type Slicing, slicing } from './traffic/sliding-window.ts'
import { WallClock } from './wall-clock.ts'

/** Options of {@link PerformanceMonitor}. */
export interface MonitorOptions {
  /** The name of the service, in documents and metrics. */
  readonly service?: string | undefined
  /** The version of the service, in documents, metrics and the fleet's list of members. */
  readonly release?: string | undefined
  /** A unique name of this process. @defaultValue host name, process id and a random part */
  readonly instance?: string | undefined
  /** The time that the statistics cover, `'10s'` to `'1h'`. @defaultValue `'5m'` */
  readonly window?: Duration | undefined
  /**
   * Significant digits of latencies. With 2, they are exact to 0.8 % and an active endpoint takes 41 KB; with 3, exact to
   * 0.1 % and 200 KB. @defaultValue 2
   */
  readonly precision?: 2 | 3 | undefined
  /**
   * Upper bounds of the buckets of Prometheus' histograms, ascending. @defaultValue 5 ms to 10 s, as in OpenTelemetry's HTTP
   * conventions
   */
  readonly buckets?: readonly Duration[] | undefined
  /** How many endpoints are counted apart. Further endpoints share one entry, `(overflow)`. @defaultValue 500 */
  readonly maxEndpoints?: number | undefined
  /** Returns true for requests that should not be counted. Adapters call it before they start a request. */
  readonly ignore?: ((method: string, path: string) => boolean) | undefined
  /** Whether documents also contain latencies corrected for event loop stalls. @defaultValue true */
  readonly stallCorrection?: boolean | undefined
  /** Which requests are listed with their details. */
  readonly slow?:
    | {
        /**
         * A request is slow when it takes longer than this. Requests under way count too, and requests whose client gave up
         * after 100 ms or more. Also the T of Apdex. @defaultValue `'500ms'`
         */
        readonly threshold?: Duration | undefined
        /** How many of the latest slow requests are listed. @defaultValue 50 */
        readonly keep?: number | undefined
      }
    | undefined
  /**
   * How often the system is sampled and alerts are judged; with `false`, only when a document, the metrics or the alerts are
   * read, and the event loop and the garbage collector are not measured. @defaultValue `'1s'`
   */
  readonly sampleInterval?: Duration | false | undefined
  /** Paths whose file systems are measured. @defaultValue `['/']` */
  readonly disk?: readonly string[] | false | undefined
  /** Returns the ids of other processes to measure, such as workers. Called every 5 seconds. */
  readonly processes?: (() => readonly number[]) | undefined
  /** The alert rules. A rule is off when it is `false`; `false` instead of the object turns all off. */
  readonly alerts?: AlertOptions | false | undefined
  /** The limits above which `monitor.overload()` returns a reason. */
  readonly overload?:
    | {
        /** Median delay of the event loop. @defaultValue `'100ms'` */
        readonly eventLoop?: Duration | undefined
        /** Working set, percent of the memory limit. @defaultValue 97 */
        readonly memory?: number | undefined
        /** Heap in use, percent of V8's limit. @defaultValue 95 */
        readonly heap?: number | undefined
        /** Requests that `shedLoad` turned away, percent of the latest hundred or so. @defaultValue 1 */
        readonly shedding?: number | undefined
      }
    | undefined
  /** Who sees details of the health checks, and how long a check's answer is kept. */
  readonly health?: HealthOptions | undefined
  /** How the processes of this service exchange their numbers: `redisFleet` or `clusterFleet`. */
  readonly fleet?: FleetTransport | undefined
  /** Caches to measure, by their name in documents. */
  readonly caches?: Readonly<Record<string, CacheLike>> | undefined
  /** Milliseconds since 1970. @defaultValue the process's monotonic clock, and the system's time for timestamps */
  readonly clock?: Clock | undefined
  /** Called with each warning, once per code. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}

/** Options of health checks and their report. */
export interface HealthOptions {
  /**
   * Who sees the results of single checks: nobody, clients allowed to see the statistics, or everybody.
   * @defaultValue `'authorized'`
   */
  readonly details?: 'never' | 'authorized' | 'always' | undefined
  /** How old a check's result may be, unless the check has its own interval. @defaultValue `'10s'` */
  readonly interval?: Duration | undefined
  /**
   * How long `shedLoad` may turn requests away before the instance is not ready, so that a balancer sends them to others. It is
   * ready again 5 seconds after the last one. Use it only where others can take over: all may become unready at once.
   * @defaultValue false
   */
  readonly unreadyWhenShedding?: Duration | false | undefined
}

/** Options with their defaults filled in. */
export interface MonitorSettings {
  readonly service: string | null
  readonly release: string | null
  readonly instance: string
  readonly layout: BucketLayout
  readonly slicing: Slicing
  /** Upper bounds of the Prometheus buckets, in microseconds. */
  readonly boundsUs: readonly number[]
  readonly maxEndpoints: number
  readonly ignore: (method: string, path: string) => boolean
  readonly stallCorrection: boolean
  readonly slowUs: number
  readonly keepSlow: number
  readonly healthDetails: 'never' | 'authorized' | 'always'
  readonly checkIntervalMs: number
  readonly unreadySheddingMs: number
  readonly readers: SystemReaders
  readonly sampleMs: number | false
  readonly disk: readonly string[]
  readonly processes: () => readonly number[]
  readonly rules: ResolvedRules
  readonly overload: OverloadLimits
  readonly fleet: FleetTransport | undefined
  readonly caches: Readonly<Record<string, CacheLike>>
  readonly clock: Clock
  readonly wall: WallClock
  readonly warn: OnWarn
}

const monitorOptions: OptionKinds<MonitorOptions> = {
  service: 'text',
  release: 'text',
  instance: 'text',
  window: 'own',
  precision: 'own',
  buckets: 'own',
  maxEndpoints: 'own',
  ignore: 'function',
  stallCorrection: 'boolean',
  slow: { threshold: 'own', keep: 'own' },
  sampleInterval: 'own',
  disk: 'own',
  processes: 'function',
  alerts: 'own',
  overload: { eventLoop: 'own', memory: 'own', heap: 'own', shedding: 'own' },
  health: { details: 'own', interval: 'own', unreadyWhenShedding: 'own' },
  fleet: 'own',
  caches: 'object',
  clock: 'function',
  onWarn: 'function',
}

/** @throws TypeError or RangeError when an option is invalid */
export function resolveOptions(options: MonitorOptions, readers: SystemReaders = systemReaders): MonitorSettings {
  expectOptions(options, monitorOptions)
  const {
    service,
    release,
    instance = `${readOrNull(hostname) ?? 'host'}:${process.pid}:${Math.random().toString(36).slice(2, 8)}`,
    window = '5m',
    precision = 2,
    buckets,
    maxEndpoints = 500,
    ignore,
    stallCorrection = true,
    slow: { threshold = '500ms', keep = 50 } = {},
    sampleInterval = '1s',
    disk = ['/'],
    processes = () => [],
    alerts,
    overload: { eventLoop = '100ms', memory = 97, heap = 95, shedding = 1 } = {},
    health: { details = 'authorized', interval = '10s', unreadyWhenShedding = false } = {},
    fleet,
    caches = {},
    clock = systemClock,
    onWarn,
  } = options
  if (disk !== false) expectOptions({ disk }, { disk: 'texts' })
  for (const [name, cache] of Object.entries(caches)) expectObject(cache, `caches.${name}`, ['stats'], 'a cache')
  if (fleet !== undefined) {
    expectObject(fleet, 'fleet', ['publish', 'remove', 'collect', 'close'], 'a fleet transport')
    // With `NaN`, timers fire at once, so that it would publish without end.
    expectNumber(fleet.intervalMs, 'fleet.intervalMs', { min: 0 })
  }
  expectOneOf(precision, 'precision', [2, 3])
  const windowMs = parseDuration(window, 'window')
  if (windowMs < 10_000 || windowMs > 3_600_000) {
    throw new RangeError(`Expected \`window\` to be from '10s' to '1h', got ${describeValue(window)}`)
  }
  const warn = createWarner(onWarn)
  return {
    service: service ?? null,
    release: release ?? null,
    instance,
    layout: new BucketLayout(precision),
    slicing: slicing(windowMs),
    boundsUs: buckets === undefined ? defaultBoundsUs : toBoundsUs(buckets),
    maxEndpoints: expectWholeNumber(maxEndpoints, 'maxEndpoints', { min: 1 }),
    ignore: ignore === undefined ? () => false : guarded(ignore, warn),
    // Other runtimes do not say how long the event loop was idle, so a stall could not be told from a pause.
    stallCorrection: stallCorrection && isNode,
    slowUs: toMicroseconds(parseDuration(threshold, 'slow.threshold')),
    keepSlow: expectWholeNumber(keep, 'slow.keep'),
    healthDetails: expectOneOf(details, 'health.details', ['never', 'authorized', 'always']),
    readers,
    sampleMs:
      sampleInterval === false || isWorkers ? false : expectPositive(parseDuration(sampleInterval, 'sampleInterval')),
    disk: disk === false || isWorkers ? [] : disk,
    processes,
    rules: resolveRules(alerts),
    overload: {
      eventLoopMs: parseDuration(eventLoop, 'overload.eventLoop'),
      memory: expectNumber(memory, 'overload.memory', { min: 0, max: 100 }),
      heap: expectNumber(heap, 'overload.heap', { min: 0, max: 100 }),
      shedding: expectNumber(shedding, 'overload.shedding', { min: 0, max: 100 }),
    },
    checkIntervalMs: parseDuration(interval, 'health.interval'),
    unreadySheddingMs:
      unreadyWhenShedding === false ? Infinity : parseDuration(unreadyWhenShedding, 'health.unreadyWhenShedding'),
    fleet,
    caches,
    clock,
    wall: new WallClock(clock),
    warn,
  }
}

/** An error of the user's `ignore` must not fail requests, or end the process from a listener. */
function guarded(ignore: MonitorSettings['ignore'], warn: OnWarn): MonitorSettings['ignore'] {
  return (method, path) => {
    try {
      const isIgnored = ignore(method, path)
      if (!watchRejection(isIgnored)) return isIgnored
      warn({ code: 'MONITOR_IGNORE', message: '`ignore` returned a promise, so the request is measured' })
    } catch (error) {
      const thrown = messageOf(error)
      warn({ code: 'MONITOR_IGNORE', message: `\`ignore\` threw, so the request is measured: ${thrown}` })
    }
    return false
  }
}

function toBoundsUs(buckets: readonly Duration[]): number[] {
  if (!Array.isArray(buckets) || buckets.length === 0) {
    throw new TypeError(`Expected \`buckets\` to be a list of durations, got ${describeValue(buckets)}`)
  }
  const given = buckets.map((bound, place) => parseDuration(bound, `buckets[${place}]`))
  const bounds = given.map(toMicroseconds)
  const fault = bounds.findIndex((bound, place) => place > 0 && bound <= bounds[place - 1]!)
  if (fault === -1) return bounds
  const isAscending = given[fault]! > given[fault - 1]!
  const expected = isAscending ? 'to differ by a microsecond, from 1 µs up to an hour' : 'to ascend'
  throw new RangeError(`Expected \`buckets\` ${expected}, got ${buckets[fault]} after ${buckets[fault - 1]}`)
}

function expectPositive(ms: number): number {
  if (ms > 0) return ms
  throw new RangeError('Expected `sampleInterval` to be longer than 0ms, or false')
}
