import { waitSums } from './breakdown.ts'
import { addPackedCounters, type PackedCounters, packCounters } from './packed-counters.ts'

/** How a window is divided: when data grows older than the window, it leaves one slice at a time. */
export interface Slicing {
  readonly windowMs: number
  readonly sliceMs: number
}

/** Divides a window into 60 slices, so the window's length is exact to 1.7 %. */
export function slicing(windowMs: number): Slicing {
  return { windowMs, sliceMs: windowMs / 60 }
}

/** The start of the slice that is current at `now`. */
export function sliceStart(now: number, { sliceMs }: Slicing): number {
  return Math.floor(now / sliceMs) * sliceMs
}

/** Where the window begins: at the start of a slice, so a window is up to one slice shorter than `windowMs`. */
export function windowStart(now: number, { windowMs, sliceMs }: Slicing): number {
  return Math.ceil((now - windowMs) / sliceMs) * sliceMs
}

/**
 * How event loop stalls change the latencies of one slice: some requests move from one bucket to a higher one. Stored apart
 * from the counters, so that a window without stalls needs no memory for it.
 */
export class StallCorrection {
  /** By bucket: how many requests to add, negative when requests leave the bucket. */
  readonly changes: Map<number, number> = new Map()
  /** Number of requests moved. */
  affected = 0
  longestUs = 0

  move(fromIndex: number, toIndex: number, toUs: number): void {
    this.changes.set(fromIndex, (this.changes.get(fromIndex) ?? 0) - 1)
    this.changes.set(toIndex, (this.changes.get(toIndex) ?? 0) + 1)
    this.affected++
    if (toUs > this.longestUs) this.longestUs = toUs
  }
}

/** Receives the contents of a window. */
export interface WindowSink {
  /** Adds a slice, or several whose numbers are added up. */
  addSlice(counters: ArrayLike<number>, sums: Float64Array): void
  addCorrection(correction: StallCorrection): void
}

/** A slice that is over. */
export interface PastSlice {
  readonly start: number
  readonly counters: PackedCounters
  readonly sums: Float64Array
  readonly correction: StallCorrection | undefined
}

/**
 * The places of the values in {@link SlidingWindow.sums}. Durations are in microseconds. The {@link waitSums} begin at
 * `waits`.
 */
export const sumIndex = { count: 0, total: 1, squares: 2, min: 3, max: 4, waits: 5 } as const

/**
 * Counters over a sliding window: a dense array for the current slice, a packed one for each past slice, and the sum of the
 * past slices, so that reading takes one pass. Old slices leave when the window is read or written; no timer is needed.
 */
export class SlidingWindow {
  /** Counters of the current slice: the buckets of the histogram, then the owner's other counters. */
  readonly counters: Uint32Array
  /** Sums of the current slice; see {@link sumIndex}. */
  readonly sums: Float64Array
  /** When the current slice ends. Starts as a fraction, so that V8 writes it in place instead of allocating. */
  end = 0.5
  readonly #slicing: Slicing
  readonly #onSlice: ((slice: PastSlice) => void) | undefined
  readonly #past: Uint32Array
  #pastSums: Float64Array = emptySums()
  readonly #pastSlices: PastSlice[] = []
  #correction: StallCorrection | undefined
  #start = 0

  /** @param onSlice - called with each slice that is over */
  constructor(width: number, slicing: Slicing, onSlice?: (slice: PastSlice) => void) {
    this.#onSlice = onSlice
    this.counters = new Uint32Array(width)
    this.#past = new Uint32Array(width)
    this.sums = emptySums()
    this.#slicing = slicing
  }

  /** Starts a new slice if the current one is over at `now`. Must be called before a write when `now >= end`. */
  advance(now: number): void {
    if (now >= this.end) this.#rotate(now)
  }

  /** Records a duration in the current slice, in the bucket `index`. */
  record(index: number, us: number): void {
    const { counters, sums } = this
    counters[index]!++
    sums[sumIndex.count]!++
    sums[sumIndex.total]! += us
    sums[sumIndex.squares]! += us * us
    if (us < sums[sumIndex.min]!) sums[sumIndex.min] = us
    if (us > sums[sumIndex.max]!) sums[sumIndex.max] = us
  }

  /** The correction of the current slice. Keep a reference to it to correct a request of this slice later. */
  get correction(): StallCorrection {
    this.#correction ??= new StallCorrection()
    return this.#correction
  }

  /** Adds the contents of the window at `now` to the sink. */
  readInto(sink: WindowSink, now: number): void {
    this.advance(now)
    sink.addSlice(this.#past, this.#pastSums)
    for (const { correction } of this.#pastSlices) if (correction !== undefined) sink.addCorrection(correction)
    this.readCurrentInto(sink, now)
  }

  /** The sums at `now`. */
  sumsAt(now: number): Float64Array {
    this.advance(now)
    const sums = this.#pastSums.slice()
    addSums(sums, this.sums)
    return sums
  }

  /** Adds the current slice to the sink. */
  readCurrentInto(sink: WindowSink, now: number): void {
    this.advance(now)
    sink.addSlice(this.counters, this.sums)
    if (this.#correction !== undefined) sink.addCorrection(this.#correction)
  }

  /** The sum of the counters from `first` to `last` at `now`. */
  sumOf(now: number, first: number, last: number = first): number {
    this.advance(now)
    let total = 0
    for (let index = first; index <= last; index++) total += this.#past[index]! + this.counters[index]!
    return total
  }

  /** The longest duration at `now`; 0 when the window is empty. */
  maxUs(now: number): number {
    this.advance(now)
    return Math.max(this.#pastSums[sumIndex.max]!, this.sums[sumIndex.max]!)
  }

  /** The number of durations at `now`. */
  count(now: number): number {
    this.advance(now)
    return this.#pastSums[sumIndex.count]! + this.sums[sumIndex.count]!
  }

  /** Estimated size of the counters. */
  get memoryBytes(): number {
    const packed = this.#pastSlices.reduce((bytes, { counters }) => bytes + counters.byteLength + 140, 0)
    return this.counters.byteLength + this.#past.byteLength + packed
  }

  #rotate(now: number): void {
    const { windowMs, sliceMs } = this.#slicing
    this.#packCurrentSlice()
    while (this.#pastSlices.length > 0 && this.#pastSlices[0]!.start < now - windowMs) {
      addPackedCounters(this.#pastSlices.shift()!.counters, this.#past, -1)
    }
    this.#pastSums = emptySums()
    for (const slice of this.#pastSlices) addSums(this.#pastSums, slice.sums)
    this.#start = sliceStart(now, this.#slicing)
    this.end = this.#start + sliceMs
  }

  #packCurrentSlice(): void {
    const counters = packCounters(this.counters)
    if (counters.length === 0) return
    const slice = { start: this.#start, counters, sums: this.sums.slice(), correction: this.#correction }
    this.#pastSlices.push(slice)
    addPackedCounters(counters, this.#past)
    this.#onSlice?.(slice)
    this.counters.fill(0)
    this.sums.set(emptySums())
    this.#correction = undefined
  }
}

/** Adds the sums of another slice to the target. */
export function addSums(target: Float64Array, sums: Float64Array): void {
  target[sumIndex.count]! += sums[sumIndex.count]!
  target[sumIndex.total]! += sums[sumIndex.total]!
  target[sumIndex.squares]! += sums[sumIndex.squares]!
  target[sumIndex.min] = Math.min(target[sumIndex.min]!, sums[sumIndex.min]!)
  target[sumIndex.max] = Math.max(target[sumIndex.max]!, sums[sumIndex.max]!)
  for (let index: number = sumIndex.waits; index < target.length; index++) target[index]! += sums[index]!
}

export function emptySums(): Float64Array {
  const sums = new Float64Array(sumIndex.waits + waitSums)
  sums[sumIndex.min] = Infinity
  return sums
}
