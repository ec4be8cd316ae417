import type { Duration } from '../../shared/duration.ts'

/** What one process has published. */
export interface FleetMember {
  readonly id: string
  /** How long ago, by one clock for all members. */
  readonly ageMs: number
  readonly bytes: Uint8Array
}

/** Carries what the processes of a service publish about themselves to each other. */
export interface FleetTransport {
  /** How often each process publishes, in milliseconds. */
  readonly intervalMs: number
  /** Replaces what this process has published before. */
  publish(id: string, bytes: Uint8Array): Promise<void>
  /** Takes away what this process has published. */
  remove(id: string): Promise<void>
  /** The last publication of each process that published lately, dead ones included. */
  collect(): Promise<readonly FleetMember[]>
  /** Lets go of what the transport itself made. */
  close(): Promise<void>
}

/** How a transport is made. */
export interface FleetOptions {
  /** Services that share a transport are told apart by it. @defaultValue `'default'` */
  readonly namespace?: string | undefined
  /** How often each process publishes; numbers of others are at most that old. @defaultValue `'10s'` */
  readonly interval?: Duration | undefined
}

/** A process that was silent for so long is stale, in intervals. */
export const staleIntervals = 3

/** A process that was silent for so long is forgotten, in intervals. */
export const forgottenIntervals = 60
