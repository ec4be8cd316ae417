/** One process of a fleet. */
export interface FleetMemberStats {
  readonly id: string
  readonly release: string | null
  /** Age of the member's latest publication. */
  readonly ageMs: number
  /** The member has not published for three intervals: the document excludes its numbers. */
  readonly stale: boolean
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly inFlight: number | null
}

/** The members of a fleet. */
export interface FleetStats {
  readonly instances: number
  readonly stale: number
  /** Number of publications that were invalid, or of another version, precision or window. */
  readonly rejected: number
  readonly members: readonly FleetMemberStats[]
}
