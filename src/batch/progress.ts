/** How far a run is. */
export interface BatchProgress {
  /** Items that are finished, the failed ones among them. */
  readonly processed: number
  /** Items that failed for good. */
  readonly failed: number
  /** Items that are being processed. */
  readonly inFlight: number
  /** Items that earlier runs had finished, according to the checkpoint. They are not in `processed`. */
  readonly resumed: number
  /** Items in all, when that is known. */
  readonly total?: number
  /** Of this run so far. */
  readonly itemsPerSecond: number
  /** How long the rest takes at this speed, when `total` is known. */
  readonly etaMs?: number
  readonly elapsedMs: number
}

/** The numbers a run keeps. */
export interface Counts {
  processed: number
  failed: number
  inFlight: number
}

export function progressOf(
  { processed, failed, inFlight }: Counts,
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
