/** A request under way, as its adapter describes it when it is asked. */
export interface OpenRequest {
  /** The framework's own request, which `setRoute` is called with. */
  readonly original: object
  readonly method: string
  /** The pattern of its route as far as it is known; `null` for a request that `setRoute` removed. */
  readonly route: string | null
  /** Whether it is an event stream or an upgraded connection, so that its age says nothing. */
  readonly isLongLived: boolean
}

/** Stands for a request that was taken out of the statistics while it was open. */
const excluded = Symbol('excluded')

/** More open requests than this are not tracked, so that a caller who never records them takes 32 MB at most. */
const maxSize = 1_048_576

/**
 * The requests that have started and not ended, by their start stamps. A request can only be removed if it was added, so the
 * number of open requests cannot drift, whatever is recorded. A hash table in arrays with linear probing: adding and removing
 * allocate nothing, except when the table grows.
 */
export class OpenRequests {
  /**
   * The stamp that {@link add} and {@link remove} work on. Written by the caller, because passing a fraction to a function may
   * allocate it.
   */
  readonly stamp: Float64Array = new Float64Array(1)
  /** Number of open requests, without the excluded ones. */
  size = 0
  /** Number of entries, with the excluded ones. */
  #used = 0
  /** Number of entries without a description. */
  #anonymous = 0
  readonly #stampBits = new Int32Array(this.stamp.buffer)
  /** `NaN` where the table is empty. */
  #stamps = new Float64Array(64).fill(Number.NaN)
  #requests: Array<OpenRequest | typeof excluded | undefined> = new Array(64).fill(undefined)
  #mask = 63

  /** Adds a request that started at {@link stamp}. Several may have the same stamp. */
  add(request: OpenRequest | undefined): void {
    if (this.#used >= maxSize) return
    if (this.#used * 2 > this.#mask) this.#grow()
    this.#insert(request)
    this.#used++
    if (request === undefined) this.#anonymous++
    this.size++
  }

  /**
   * Removes a request that started at {@link stamp}. If no request started then, one without a description is removed instead.
   *
   * @param isExcluded - which to remove when several started then
   */
  remove(isExcluded: boolean): void {
    const stamps = this.#stamps
    const stamp = this.stamp[0]!
    let found = -1
    for (let place = this.#placeOf(); !Number.isNaN(stamps[place]!); place = (place + 1) & this.#mask) {
      if (stamps[place] !== stamp) continue
      found = place
      if ((this.#requests[place] === excluded) === isExcluded) break
    }
    // A stamp can only be unknown if a caller without an adapter has changed it. Requests of such callers have no
    // description.
    if (found === -1 && this.#anonymous > 0)
      found = this.#requests.findIndex((request, place) => request === undefined && !Number.isNaN(stamps[place]!))
    if (found !== -1) this.#removeAt(found)
  }

  /** Leaves the open request whose framework object is `original` out of the counts. It stays listed until it is removed. */
  exclude(original: object): void {
    const place = this.#requests.findIndex((request) => request !== excluded && request?.original === original)
    if (place === -1) return
    this.#requests[place] = excluded
    this.size--
  }

  /** Calls the function with each request that started before the time. Requests of callers without an adapter are unknown. */
  forEachBefore(time: number, visit: (startedAt: number, request: OpenRequest | undefined) => void): void {
    if (this.size === 0) return
    for (const [place, startedAt] of this.#stamps.entries()) {
      const request = this.#requests[place]
      if (startedAt < time && request !== excluded) visit(startedAt, request)
    }
  }

  #insert(request: OpenRequest | typeof excluded | undefined): void {
    let place = this.#placeOf()
    while (!Number.isNaN(this.#stamps[place]!)) place = (place + 1) & this.#mask
    this.#stamps[place] = this.stamp[0]!
    this.#requests[place] = request
  }

  /** Multiplies by the golden ratio: stamps that follow each other are spread over the table (Knuth, volume 3, 6.4). */
  #placeOf(): number {
    const bits = this.#stampBits
    return (Math.imul(bits[0]! ^ bits[1]!, 0x9e3779b1) >>> 8) & this.#mask
  }

  /** Closes the gap with later requests that were displaced by the removed one, so that they are still found. */
  #removeAt(gap: number): void {
    const stamps = this.#stamps
    const requests = this.#requests
    const mask = this.#mask
    this.#used--
    if (requests[gap] === undefined) this.#anonymous--
    if (requests[gap] !== excluded) this.size--
    for (let place = (gap + 1) & mask; !Number.isNaN(stamps[place]!); place = (place + 1) & mask) {
      this.stamp[0] = stamps[place]!
      const displacedBy = (place - this.#placeOf()) & mask
      if (displacedBy < ((place - gap) & mask)) continue
      stamps[gap] = stamps[place]!
      requests[gap] = requests[place]
      gap = place
    }
    stamps[gap] = Number.NaN
    requests[gap] = undefined
  }

  #grow(): void {
    const stamps = this.#stamps
    const requests = this.#requests
    const stamp = this.stamp[0]!
    this.#mask = this.#mask * 2 + 1
    this.#stamps = new Float64Array(this.#mask + 1).fill(Number.NaN)
    this.#requests = new Array(this.#mask + 1).fill(undefined)
    for (const [place, startedAt] of stamps.entries()) {
      if (Number.isNaN(startedAt)) continue
      this.stamp[0] = startedAt
      this.#insert(requests[place])
    }
    this.stamp[0] = stamp
  }
}
