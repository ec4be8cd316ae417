import { expectOptions, type OptionKinds } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'

/** The latest publication of one process. */
export interface FleetMember {
  readonly id: string
  /** Time since it was published, measured by one clock for all members. */
  readonly ageMs: number
  readonly bytes: Uint8Array
  /** Whether the process has ended. Then only the counters of its last publication count, in the metrics of the fleet. */
  readonly hasLeft?: boolean | undefined
}

/** Carries the numbers that each process of a service publishes to the other processes. */
export interface FleetTransport {
  /** How often each process publishes, in milliseconds. */
  readonly intervalMs: number
  /** Replaces the previous publication of this process. */
  publish(id: string, bytes: Uint8Array): Promise<void>
  /** Removes the publication of this process. */
  remove(id: string): Promise<void>
  /** The latest publication of each process, including those that have died since. */
  collect(): Promise<readonly FleetMember[]>
  /** Asks all processes to publish now, and waits a moment for them. Without it, their numbers are those published last. */
  refresh?(): Promise<void>
  /** Called once. The transport must call the given function when another process calls `refresh`. */
  onRefresh?(publish: () => Promise<void>): void
  /** Releases what the transport itself has opened. */
  close(): Promise<void>
}

/** Options of `redisFleet` and `clusterFleet`. */
export interface FleetOptions {
  /** Separates services that share a transport. @defaultValue `'default'` */
  readonly namespace?: string | undefined
  /** How often each process publishes, so the maximum age of the other processes' numbers. @defaultValue `'10s'` */
  readonly interval?: Duration | undefined
}

const fleetOptions: OptionKinds<FleetOptions> = { namespace: 'text', interval: 'own' }

/** @throws TypeError when `interval` is not a duration; RangeError when it is 0 */
export function parseFleetOptions(options: FleetOptions): { readonly namespace: string; readonly intervalMs: number } {
  expectOptions(options, fleetOptions)
  const { namespace = 'default', interval = '10s' } = options
  const intervalMs = parseDuration(interval, 'interval')
  if (intervalMs === 0) throw new RangeError('Expected `interval` to be longer than 0ms')
  return { namespace, intervalMs }
}

/** A process that has not published for this many intervals is stale. */
export const staleIntervals = 3

/** A process that has not published for this many intervals is forgotten. */
export const forgottenIntervals = 60
