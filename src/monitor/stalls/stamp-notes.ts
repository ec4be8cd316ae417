/** How many notes are kept. A request whose note was overwritten counts as one that did not wait. */
const capacity = 4_096

/**
 * Notes about the few start stamps whose request waited for the event loop or held it, in a ring of typed arrays. Notes are
 * numbered from 0; stamps only grow.
 */
export class StampNotes {
  /** The latest stamp that has a note. */
  newest: number = -Infinity
  /** Number of notes so far, which is the number of the next one. */
  count = 0
  readonly #stamps = new Float64Array(capacity)
  readonly #waitsMs = new Float64Array(capacity)
  readonly #holdsMs = new Float64Array(capacity)
  readonly #taken = new Uint8Array(capacity)

  add(stamp: number, waitedMs: number): void {
    const place = this.count++ % capacity
    this.#stamps[place] = stamp
    this.#waitsMs[place] = waitedMs
    this.#holdsMs[place] = 0
    this.#taken[place] = 0
    this.newest = stamp
  }

  /**
   * The number of a stamp's note. -1 when the stamp has no note, or the note was taken before: a stamp belongs to one
   * request.
   */
  take(stamp: number): number {
    let low = Math.max(0, this.count - capacity)
    let high = this.count - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#stamps[middle % capacity]! < stamp) low = middle + 1
      else high = middle
    }
    const place = low % capacity
    if (low !== high || this.#stamps[place] !== stamp || this.#taken[place] === 1) return -1
    this.#taken[place] = 1
    return low
  }

  waitOf(note: number): number {
    return note < this.count - capacity ? 0 : this.#waitsMs[note % capacity]!
  }

  holdOf(note: number): number {
    return this.#holdsMs[note % capacity]!
  }

  setNewestHold(ms: number): void {
    this.#holdsMs[(this.count - 1) % capacity] = ms
  }

  /**
   * Distributes a stall over the `size` requests that waited for it, in order of arrival, the first of which has the note
   * `first`: the k-th of n waited about `stall * (1 - (k - 0.5) / n)`.
   */
  addStall(stallMs: number, first: number, size: number): void {
    for (let place = Math.max(0, size - capacity); place < size; place++) {
      this.#waitsMs[(first + place) % capacity]! += stallMs * (1 - (place + 0.5) / size)
    }
  }
}
