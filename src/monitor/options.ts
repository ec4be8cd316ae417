import { hostname } from 'node:os'
import { describeValue, expectOneOf, expectWholeNumber } from '../shared/assertions.ts'
import { type Clock, systemClock } from '../shared/clock.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { createWarner, type OnWarn } from '../shared/warnings.ts'
import { BucketLayout } from './buckets.ts'
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
  readonly health?:
    | {
        /** Who sees more of `GET /health` than its status. @defaultValue `'authorized'` */
        readonly details?: 'never' | 'authorized' | 'always' | undefined
      }
    | undefined
  /** Caches to watch, by the name they have in documents. */
  readonly caches?: Readonly<Record<string, CacheLike>> | undefined
  /** The time. @defaultValue the process's monotonic clock */
  readonly clock?: Clock | undefined
  /** Receives warnings, each kind once. @defaultValue `process.emitWarning` */
  readonly onWarn?: OnWarn | undefined
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
  readonly slowMs: number
  readonly keepSlow: number
  readonly healthDetails: 'never' | 'authorized' | 'always'
  readonly caches: Readonly<Record<string, CacheLike>>
  readonly clock: Clock
  readonly warn: OnWarn
}

/** Checks the options and fills in the defaults. */
export function resolveOptions({
  service,
  release,
  instance = `${hostname()}:${process.pid}:${Math.random().toString(36).slice(2, 8)}`,
  window = '5m',
  precision = 2,
  maxEndpoints = 500,
  ignore = () => false,
  stallCorrection = true,
  slow: { threshold = '500ms', keep = 50 } = {},
  health: { details = 'authorized' } = {},
  caches = {},
  clock = systemClock,
  onWarn,
}: MonitorOptions): MonitorSettings {
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
    slowMs: parseDuration(threshold, 'slow.threshold'),
    keepSlow: expectWholeNumber(keep, 'slow.keep'),
    healthDetails: expectOneOf(details, 'health.details', ['never', 'authorized', 'always']),
    caches,
    clock,
    warn: createWarner(onWarn),
  }
}
