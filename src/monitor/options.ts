import { hostname } from 'node:os'
import { describeValue, expectNumber, expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { BucketLayout, toMicroseconds } from '../shared/buckets.ts'
import { type Clock, systemClock } from '../shared/clock.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import { type AlertOptions, type ResolvedRules, resolveRules } from './alert-rules.ts'
import type { FleetTransport } from './fleet/transport.ts'
import { type SystemReaders, systemReaders } from './system/readers.ts'
import type { CacheLike } from './types.ts'
import { type Slicing, slicing } from './window.ts'

/** How a {@link PerformanceMonitor} is made. */
export interface MonitorOptions {
  /** Name of the service, for documents and metrics. */
  readonly service?: string | undefined
  /** Version of the service; the fleet's document names it beside each member. */
  readonly release?: string | undefined
  /** What tells this process from its siblings. @defaultValue host name, process id and a random part */
  readonly instance?: string | undefined
  /** What the statistics cover, `'10s'` to `'1h'`. @defaultValue `'5m'` */
  readonly window?: Duration | undefined
  /**
   * Significant digits of latencies. Two are right within 0.8 %, and 32 KB an active endpoint; three within 0.1 %, and
   * 200 KB. @defaultValue 2
   */
  readonly precision?: 2 | 3 | undefined
  /** Endpoints beyond that share one entry, `(overflow)`. @defaultValue 500 */
  readonly maxEndpoints?: number | undefined
  /** Requests that are not to be counted. Asked with the path before anything else happens. */
  readonly ignore?: ((method: string, path: string) => boolean) | undefined
  /** Whether latencies corrected for event loop stalls stand beside the plain ones. @defaultValue true */
  readonly stallCorrection?: boolean | undefined
  /** Which requests are kept with their details. */
  readonly slow?:
    | {
        /** Slower than that is slow; also the T of Apdex. @defaultValue `'500ms'` */
        readonly threshold?: Duration | undefined
        /** How many of the latest are kept. @defaultValue 50 */
        readonly keep?: number | undefined
      }
    | undefined
  /** How often the system is sampled and alerts are judged; `false`: only when somebody asks. @defaultValue `'1s'` */
  readonly sampleInterval?: Duration | false | undefined
  /** Folders whose file systems are watched. @defaultValue `['/']` */
  readonly disk?: readonly string[] | false | undefined
  /** Other processes to watch, such as workers; asked every 5 seconds. */
  readonly processes?: (() => readonly number[]) | undefined
  /** The rules, each on unless it is `false`; `false` turns off all. */
  readonly alerts?: AlertOptions | false | undefined
  /** When {@link PerformanceMonitor.overload} says so. */
  readonly overload?:
    | {
        /** Median delay of the event loop. @defaultValue `'100ms'` */
        readonly eventLoop?: Duration | undefined
        /** Working set, percent of the limit. @defaultValue 97 */
        readonly memory?: number | undefined
        /** Heap, percent of its limit. @defaultValue 95 */
        readonly heap?: number | undefined
      }
    | undefined
  /** How health is shown. */
  readonly health?: HealthOptions | undefined
  /** How the processes of this service know of each other: `redisFleet` or `clusterFleet`. */
  readonly fleet?: FleetTransport | undefined
  /** Caches to watch, by the name they have in documents. */
  readonly caches?: Readonly<Record<string, CacheLike>> | undefined
  /** The time. @defaultValue the process's monotonic clock */
  readonly clock?: Clock | undefined
  /** Receives warnings, each kind once. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
}

/** How health is shown. */
export interface HealthOptions {
  /** Who sees the single checks: nobody, whoever may see the statistics, everybody. @defaultValue `'authorized'` */
  readonly details?: 'never' | 'authorized' | 'always' | undefined
  /** How old the answer of a check may be, where the check does not say. @defaultValue `'10s'` */
  readonly interval?: Duration | undefined
}

/** Options with nothing left to decide. */
export interface MonitorSettings {
  readonly service: string | null
  readonly release: string | null
  readonly instance: string
  readonly layout: BucketLayout
  readonly slicing: Slicing
  readonly maxEndpoints: number
  readonly ignore: (method: string, path: string) => boolean
  readonly stallCorrection: boolean
  readonly slowUs: number
  readonly keepSlow: number
  readonly healthDetails: 'never' | 'authorized' | 'always'
  readonly checkIntervalMs: number
  readonly readers: SystemReaders
  readonly sampleMs: number | false
  readonly disk: readonly string[]
  readonly processes: () => readonly number[]
  readonly rules: ResolvedRules
  readonly overload: { readonly eventLoopMs: number; readonly memory: number; readonly heap: number }
  readonly fleet: FleetTransport | undefined
  readonly caches: Readonly<Record<string, CacheLike>>
  readonly clock: Clock
  readonly warn: OnWarn
}

/** Checks the options and fills in the defaults. */
export function resolveOptions(
  {
    service,
    release,
    instance = `${hostname()}:${process.pid}:${Math.random().toString(36).slice(2, 8)}`,
    window = '5m',
    precision = 2,
    maxEndpoints = 500,
    ignore = () => false,
    stallCorrection = true,
    slow: { threshold = '500ms', keep = 50 } = {},
    sampleInterval = '1s',
    disk = ['/'],
    processes = () => [],
    alerts,
    overload: { eventLoop = '100ms', memory = 97, heap = 95 } = {},
    health: { details = 'authorized', interval = '10s' } = {},
    fleet,
    caches = {},
    clock = systemClock,
    onWarn,
  }: MonitorOptions,
  readers: SystemReaders = systemReaders,
): MonitorSettings {
  if (precision !== 2 && precision !== 3) {
    throw new TypeError(`Expected \`precision\` to be one of 2, 3, got ${describeValue(precision)}`)
  }
  const windowMs = parseDuration(window, 'window')
  if (windowMs < 10_000 || windowMs > 3_600_000) {
    throw new RangeError(`Expected \`window\` to be from '10s' to '1h', got ${describeValue(window)}`)
  }
  return {
    service: service ?? null,
    release: release ?? null,
    instance,
    layout: new BucketLayout(precision),
    slicing: slicing(windowMs),
    maxEndpoints: expectWholeNumber(maxEndpoints, 'maxEndpoints', { min: 1 }),
    ignore,
    stallCorrection,
    slowUs: toMicroseconds(parseDuration(threshold, 'slow.threshold')),
    keepSlow: expectWholeNumber(keep, 'slow.keep'),
    healthDetails: expectOneOf(details, 'health.details', ['never', 'authorized', 'always']),
    readers,
    sampleMs: sampleInterval === false ? false : positive(parseDuration(sampleInterval, 'sampleInterval')),
    disk: disk === false ? [] : disk,
    processes,
    rules: resolveRules(alerts),
    overload: {
      eventLoopMs: parseDuration(eventLoop, 'overload.eventLoop'),
      memory: expectNumber(memory, 'overload.memory', { min: 0, max: 100 }),
      heap: expectNumber(heap, 'overload.heap', { min: 0, max: 100 }),
    },
    checkIntervalMs: parseDuration(interval, 'health.interval'),
    fleet,
    caches,
    clock,
    warn: createWarner(onWarn),
  }
}

function positive(ms: number): number {
  if (ms > 0) return ms
  throw new RangeError('Expected `sampleInterval` to be longer than 0ms, or false')
}
