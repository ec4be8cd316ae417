import { addPacked, pack, type Sparse } from './sparse.ts'

/** How a window is cut: what is older than the window leaves it one slice at a time. */
export interface Slicing {
  readonly windowMs: number
  readonly sliceMs: number
}

/** Sixty slices a window: an age is right to 1.7 %. */
export function slicing(windowMs: number): Slicing {
  return { windowMs, sliceMs: windowMs / 60 }
}

/**
 * Where the window begins. It is cut at a slice, so it holds nothing older than `windowMs` and may be up to a slice
 * shorter.
 */
export function windowStart(now: number, { windowMs, sliceMs }: Slicing): number {
  return Math.ceil((now - windowMs) / sliceMs) * sliceMs
}

/**
 * What a stall adds to the latencies of one slice: buckets that lose a request and buckets that gain it. Kept apart, so
 * that a window without stalls pays nothing for it.
 */
export class Shift {
  readonly moves: Map<number, number> = new Map()
  affected = 0
  longestUs = 0

  move(fromIndex: number, toIndex: number, toUs: number): void {
    this.moves.set(fromIndex, (this.moves.get(fromIndex) ?? 0) - 1)
    this.moves.set(toIndex, (this.moves.get(toIndex) ?? 0) + 1)
    this.affected++
    if (toUs > this.longestUs) this.longestUs = toUs
  }
}

/** Receives what a window holds. */
export interface WindowSink {
  /**
   * @param leastUs - no duration is shorter
   * @param greatestUs - no duration is longer; 0 when there are none
   */
  addCells(past: ArrayLike<number>, current: ArrayLike<number>, leastUs: number, greatestUs: number): void
  addSums(sums: Float64Array): void
  addShift(shift: Shift): void
}

/** A slice that is over. */
interface Slice {
  readonly start: number
  readonly cells: Sparse
  readonly sums: Float64Array
  readonly shift: Shift | undefined
}

/** Places of {@link SlidingWindow.sums}; durations in microseconds. */
export const sum = { count: 0, total: 1, squares: 2, min: 3, max: 4 } as const

/**
 * Counters over a sliding window: a dense array for the current time slice, packed ones for the past, and the sum of the
 * packed ones, so that reading costs one pass. It ages when it is read or written and needs no timer.
 */
export class SlidingWindow {
  /** Counters of the current slice: the histogram's buckets first, whatever else the owner counts behind them. */
  readonly cells: Uint32Array
  /** Count, sum, sum of squares, least and greatest duration of the current slice. */
  readonly sums: Float64Array
  /** Where the current slice ends. */
  end = 0.5
  readonly #slicing: Slicing
  readonly #past: Uint32Array
  #pastSums: Float64Array = emptySums()
  readonly #slices: Slice[] = []
  #shift: Shift | undefined
  #start = 0

  constructor(width: number, slicing: Slicing) {
    this.cells = new Uint32Array(width)
    this.#past = new Uint32Array(width)
    this.sums = emptySums()
    this.#slicing = slicing
  }

  /** Makes `cells` and `sums` those of the slice of `now`. To be called before a write when `now >= end`. */
  advance(now: number): void {
    if (now >= this.end) this.#rotate(now)
  }

  /** Puts a duration into the current slice. */
  record(index: number, us: number): void {
    const { cells, sums } = this
    cells[index]!++
    sums[sum.count]!++
    sums[sum.total]! += us
    sums[sum.squares]! += us * us
    if (us < sums[sum.min]!) sums[sum.min] = us
    if (us > sums[sum.max]!) sums[sum.max] = us
  }

  /** The shift of the current slice, also for requests of it whose wait is known only later. */
  get shift(): Shift {
    this.#shift ??= new Shift()
    return this.#shift
  }

  /** Hands over what the window holds at `now`. */
  readInto(sink: WindowSink, now: number): void {
    this.advance(now)
    sink.addSums(this.#pastSums)
    sink.addSums(this.sums)
    for (const { shift } of this.#slices) if (shift !== undefined) sink.addShift(shift)
    if (this.#shift !== undefined) sink.addShift(this.#shift)
    const leastUs = Math.min(this.#pastSums[sum.min]!, this.sums[sum.min]!)
    sink.addCells(this.#past, this.cells, leastUs, this.maxUs(now))
  }

  /** The sum of some neighbouring counters, at `now`. */
  sumOf(now: number, first: number, last: number = first): number {
    this.advance(now)
    let total = 0
    for (let index = first; index <= last; index++) total += this.#past[index]! + this.cells[index]!
    return total
  }

  /** The greatest duration, at `now`; 0 when there is none. */
  maxUs(now: number): number {
    this.advance(now)
    return Math.max(this.#pastSums[sum.max]!, this.sums[sum.max]!)
  }

  /** The number of durations, at `now`. */
  count(now: number): number {
    this.advance(now)
    return this.#pastSums[sum.count]! + this.sums[sum.count]!
  }

  /** Bytes of the counters. */
  get memoryBytes(): number {
    const packed = this.#slices.reduce((bytes, slice) => bytes + slice.cells.byteLength + 140, 0)
    return this.cells.byteLength + this.#past.byteLength + packed
  }

  #rotate(now: number): void {
    const { windowMs, sliceMs } = this.#slicing
    this.#seal()
    while (this.#slices.length > 0 && this.#slices[0]!.start < now - windowMs) {
      addPacked(this.#slices.shift()!.cells, this.#past, -1)
    }
    this.#pastSums = emptySums()
    for (const slice of this.#slices) addSums(this.#pastSums, slice.sums)
    this.#start = Math.floor(now / sliceMs) * sliceMs
    this.end = this.#start + sliceMs
  }

  #seal(): void {
    const cells = pack(this.cells)
    if (cells.length === 0) return
    this.#slices.push({ start: this.#start, cells, sums: this.sums.slice(), shift: this.#shift })
    addPacked(cells, this.#past)
    this.cells.fill(0)
    this.sums.set(emptySums())
    this.#shift = undefined
  }
}

/** Adds sums of another slice to some. */
export function addSums(target: Float64Array, sums: Float64Array): void {
  target[sum.count]! += sums[sum.count]!
  target[sum.total]! += sums[sum.total]!
  target[sum.squares]! += sums[sum.squares]!
  target[sum.min] = Math.min(target[sum.min]!, sums[sum.min]!)
  target[sum.max] = Math.max(target[sum.max]!, sums[sum.max]!)
}

/** Sums of nothing. */
export function emptySums(): Float64Array {
  return new Float64Array([0, 0, 0, Infinity, 0])
}
