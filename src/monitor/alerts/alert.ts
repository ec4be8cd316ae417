import type { ShedReason } from '../admission/admission.ts'
import type { BreakdownPart } from '../traffic/breakdown.ts'

/** The names of the alert rules. */
export type AlertId =
  | 'response_time'
  | 'aborted'
  | 'in_flight'
  | 'cpu'
  | 'memory'
  | 'cache_errors'
  | 'error_rate'
  | 'event_loop'
  | 'disk'
  | 'shedding'

/**
 * The likely cause of an alert on latency, the event loop or the CPU. Shares are 0..1. Values that do not explain the alert
 * are `null`: for disks, caches and error rates all of them, for memory all but `gc` and `throttled`.
 */
export interface AlertCause {
  /** Share of the window in which the event loop was stalled. */
  readonly stall: number | null
  /** Share of the window spent on garbage collection. */
  readonly gc: number | null
  /** Share of the quota's periods in which the process was throttled; `null` without a quota. */
  readonly throttled: number | null
  /** The endpoint that held the event loop longest in the window, as in `POST /export`. */
  readonly topBlocker: string | null
  /** Share of the window in which {@link topBlocker} held the event loop. */
  readonly topBlockerShare: number | null
  /**
   * The statement that took the most time in requests of the alert's endpoint, among those that `instrument` lists as slow
   * or repeated.
   */
  readonly query: string | null
  /** Where most of the time of the alert's endpoint goes; see `EndpointStats.breakdown`. */
  readonly part: BreakdownPart | null
  /** The share of {@link part} in that time, 0..1. */
  readonly partShare: number | null
  /** Of `shedding` only: why most requests were turned away. The event loop was full, or too many of a kind were in flight. */
  readonly shedReason?: ShedReason
}

/** An alert that is not `ok`. Resolved ones are listed for one window. */
export interface ActiveAlert {
  readonly id: AlertId
  readonly state: 'pending' | 'firing' | 'resolved'
  /** When the alert entered this state, ISO 8601. */
  readonly since: string
  /** In the unit of the threshold: milliseconds or percent. For `response_time`, the lower confidence bound of the P95. */
  readonly value: number
  readonly threshold: number
  /** The endpoint, cache or file system; `null` for the process. */
  readonly target: string | null
  /** Number of samples behind the value. */
  readonly samples: number
  readonly cause: AlertCause
}

/** An alert that fires, still fires after `repeat`, or is resolved. */
export interface AlertEvent extends ActiveAlert {
  readonly state: 'firing' | 'resolved'
  /** True for an event that repeats the previous one. */
  readonly repeated: boolean
}
