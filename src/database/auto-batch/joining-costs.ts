/** A joined statement that took this long on the server may be better off as separate queries. */
const heavyMs = 30
/** Separate queries that take less than this share of a joined statement's time count against joining. */
const betterShare = 0.7
/** Below this share, one comparison is enough. */
const muchBetterShare = 0.4

/**
 * Compares the durations of joined statements with those of separate queries. One plan for all values can be much worse
 * than a plan for each, and separate queries can run on several connections at once.
 *
 * Only heavy statements are compared, because most of the time of others is the round trip. Two heavy statements in a row
 * are needed: a single one may have waited for a busy process, as may all that ran at the same time.
 */
export class JoiningCosts {
  #heavyMsPerLookup: number | undefined
  #heavyInRow = 0
  #heavyRunsToSkip = 1
  /** When the last heavy statement that was counted ended. */
  #countedUntil = 0
  #isTrying = false
  #strikes = 0

  /** Whether the next lookups should run separately, for a comparison. Then call {@link recordSeparate}. */
  beginTrial(): boolean {
    if (this.#isTrying || this.#heavyInRow <= this.#heavyRunsToSkip) return false
    this.#isTrying = true
    return true
  }

  /**
   * Times are in milliseconds.
   *
   * @param roundTripMs - the shortest round trip so far, which does not count as work of the server
   */
  recordJoined(startedAt: number, endedAt: number, lookups: number, roundTripMs: number): void {
    const ms = endedAt - startedAt
    if (ms - roundTripMs < heavyMs) {
      this.#heavyInRow = 0
      this.#heavyMsPerLookup = undefined
      return
    }
    this.#heavyMsPerLookup = Math.min(ms / lookups, this.#heavyMsPerLookup ?? Infinity)
    if (startedAt < this.#countedUntil) return
    this.#countedUntil = endedAt
    this.#heavyInRow += 1
  }

  /** @returns whether joining was slower, by far or twice in a row */
  recordSeparate(ms: number, lookups: number): boolean {
    const joinedMs = this.#heavyMsPerLookup
    this.#isTrying = false
    this.#heavyMsPerLookup = undefined
    this.#heavyInRow = 0
    // A joined statement that ran during the trial was not heavy.
    if (joinedMs === undefined) return false
    const share = ms / lookups / joinedMs
    if (share < betterShare) {
      this.#strikes += 1
      if (this.#strikes < 2 && share >= muchBetterShare) return false
      this.#strikes = 0
      return true
    }
    this.#strikes = 0
    // Joining has paid: compare ever more rarely.
    this.#heavyRunsToSkip = Math.min(1_000, this.#heavyRunsToSkip * 4)
    return false
  }
}
