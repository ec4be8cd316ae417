/** A joined statement that took this long on the server may be better off as separate queries. */
const heavyMs = 30
/** Separate queries that take less than this share of a joined statement's time count against joining. */
const betterShare = 0.7
/** Below this share, one comparison is enough. */
const muchBetterShare = 0.4

/**
 * Compares the durations of joined statements with those of separate queries. One plan for all values can be much worse than
 * a plan for each, and separate queries can run on several connections at once.
 *
 * Only heavy statements are compared, as the round trip is the larger part of the others. Two in a row: a single one may
 * have waited for a busy process.
 */
export class JoiningCosts {
  #heavyMsPerLookup: number | undefined
  #heavyInRow = 0
  #heavyRunsToSkip = 1
  #strikes = 0

  /** Whether the next lookups should run separately, for the comparison. */
  get isTrialDue(): boolean {
    return this.#heavyInRow > this.#heavyRunsToSkip
  }

  /** @param roundTripMs - the shortest round trip seen, which is no work of the server */
  recordJoined(ms: number, lookups: number, roundTripMs: number): void {
    if (ms - roundTripMs < heavyMs) {
      this.#heavyInRow = 0
      this.#heavyMsPerLookup = undefined
      return
    }
    this.#heavyInRow += 1
    this.#heavyMsPerLookup = Math.min(ms / lookups, this.#heavyMsPerLookup ?? Infinity)
  }

  /** @returns whether joining has lost, by far or twice in a row */
  recordSeparate(ms: number, lookups: number): boolean {
    const share = ms / lookups / (this.#heavyMsPerLookup ?? Infinity)
    this.#heavyMsPerLookup = undefined
    this.#heavyInRow = 0
    if (share < betterShare) {
      this.#strikes += 1
      return this.#strikes >= 2 || share < muchBetterShare
    }
    this.#strikes = 0
    // Joining has paid: compare ever more rarely.
    this.#heavyRunsToSkip = Math.min(1_000, this.#heavyRunsToSkip * 4)
    return false
  }
}
