/** How far a run is. */
export interface BatchProgress {
  /** Items that are finished, including those that failed. */
  readonly processed: number
  /** Items that failed in all their attempts. */
  readonly failed: number
  /** Items that are being processed. */
  readonly inFlight: number
  /** Items that earlier runs finished, according to the checkpoint. `processed` does not include them. */
  readonly resumed: number
  /** Items in the whole input, if that is known. */
  readonly total?: number
  /** The average since this run started. */
  readonly itemsPerSecond: number
  /** The time that the remaining items take at this speed. Absent when `total` is unknown. */
  readonly etaMs?: number
  readonly elapsedMs: number
}

/** The counts of items that a run keeps. */
export interface ItemCounts {
  processed: number
  failed: number
  inFlight: number
}

export function progressOf(
  { processed, failed, inFlight }: ItemCounts,
  resumed: number,
  total: number | undefined,
  elapsedMs: number,
): BatchProgress {
  const itemsPerSecond = elapsedMs > 0 ? (processed / elapsedMs) * 1_000 : 0
  const base = { processed, failed, inFlight, resumed, itemsPerSecond, elapsedMs }
  if (total === undefined) return base
  const left = Math.max(0, total - resumed - processed)
  if (left > 0 && itemsPerSecond === 0) return { ...base, total }
  return { ...base, total, etaMs: left === 0 ? 0 : (left / itemsPerSecond) * 1_000 }
}
