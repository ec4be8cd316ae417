import type { MonitorSettings } from '../options.ts'
import type { HistoryPoint, SystemStats } from '../types.ts'
import type { WallClock } from '../wall-clock.ts'
import { countClass, endpointWidth } from './endpoint.ts'
import { addPackedCounters, type PackedCounters, packCounters } from './packed-counters.ts'
import { addSums, emptySums, type PastSlice, type Slicing, type StallCorrection, sliceStart } from './sliding-window.ts'
import { Tally, type WindowReading } from './tally.ts'
import type { TrafficContext } from './traffic-stats.ts'

/** The values at the end of a slice that are measured, not counted. */
export interface Gauges {
  readonly inFlight: number
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly utilization: number | null
  readonly delayP99Ms: number | null
  readonly delayMaxMs: number | null
}

/** One time slice of this process, or the same slice of several processes. */
export interface HistorySlice {
  /** By the system's time. */
  readonly startMs: number
  readonly windows: readonly WindowReading[]
  /** One of each process that has sampled. */
  readonly gauges: readonly Gauges[]
}

/** The counters of all endpoints together in one slice. */
class Slot implements WindowReading {
  readonly start: number
  /** Those of the last sample, once there is one. */
  gauges: readonly Gauges[] = []
  #counters: PackedCounters = new Uint8Array(0)
  readonly #sums: Float64Array = emptySums()
  readonly #corrections: StallCorrection[] = []

  constructor(start: number) {
    this.start = start
  }

  /** @param sum - for counters while they are added up */
  add({ counters, sums, correction }: PastSlice, sum: Float64Array): void {
    sum.fill(0)
    addPackedCounters(this.#counters, sum)
    addPackedCounters(counters, sum)
    this.#counters = packCounters(sum)
    addSums(this.#sums, sums)
    if (correction !== undefined) this.#corrections.push(correction)
  }

  addTo(tally: Tally): void {
    addPackedCounters(this.#counters, tally.counters)
    tally.addSums(this.#sums)
    for (const correction of this.#corrections) tally.addCorrection(correction)
  }
}

/**
 * The slices of the window, for charts. Each endpoint's window hands its slices over when they are over, so requests pay nothing for
 * it.
 */
export class TrafficHistory {
  readonly #slicing: Slicing
  readonly #wall: WallClock
  readonly #sum: Float64Array
  /** The oldest first. */
  #slots: Slot[] = []

  constructor({ layout, slicing, wall }: Pick<MonitorSettings, 'layout' | 'slicing' | 'wall'>) {
    this.#slicing = slicing
    this.#wall = wall
    this.#sum = new Float64Array(endpointWidth(layout))
  }

  /** Adds an endpoint's slice that is over. */
  add(slice: PastSlice): void {
    this.#slotAt(slice.start).add(slice, this.#sum)
  }

  /** Notes the last sample of the current slice. */
  sample(now: number, inFlight: number, { cpuPercent, memoryPercent, eventLoop }: SystemStats): void {
    const { utilization, delayMs } = eventLoop
    const slot = this.#slotAt(sliceStart(now, this.#slicing))
    const delayP99Ms = longestOf([slot.gauges[0]?.delayP99Ms, delayMs?.p99])
    const delayMaxMs = longestOf([slot.gauges[0]?.delayMaxMs, delayMs?.max])
    slot.gauges = [{ inFlight, cpuPercent, memoryPercent, utilization, delayP99Ms, delayMaxMs }]
    this.#forget(now)
  }

  /** The slices of the window that are over. The windows of all endpoints must have advanced. */
  past(now: number): HistorySlice[] {
    this.#forget(now)
    const current = sliceStart(now, this.#slicing)
    return this.#slots
      .filter(({ start }) => start < current)
      .map((slot) => ({ startMs: this.#wall.at(slot.start), windows: [slot], gauges: slot.gauges }))
  }

  /**
   * The current slice, from the counters that endpoints have not handed over yet; `undefined` while less than half of it is
   * over.
   */
  current(now: number, windows: readonly WindowReading[]): HistorySlice | undefined {
    const start = sliceStart(now, this.#slicing)
    if (now - start < this.#slicing.sliceMs / 2) return undefined
    const gauges = this.#slots.findLast((slot) => slot.start === start)?.gauges ?? []
    return { startMs: this.#wall.at(start), windows, gauges }
  }

  clear(): void {
    this.#slots = []
  }

  #slotAt(start: number): Slot {
    const place = this.#slots.findLastIndex((slot) => slot.start <= start)
    const found = this.#slots[place]
    if (found?.start === start) return found
    const slot = new Slot(start)
    this.#slots.splice(place + 1, 0, slot)
    // Also while nothing reads or samples, as with `sampleInterval: false`.
    this.#forget(start)
    return slot
  }

  #forget(now: number): void {
    const oldest = now - this.#slicing.windowMs
    const first = this.#slots.findIndex(({ start }) => start >= oldest)
    this.#slots.splice(0, first === -1 ? this.#slots.length : first)
  }
}

/** The values of the charts. Yields after each slice, for `runInSlices`. */
export function* toHistory(
  slices: readonly HistorySlice[],
  endMs: number,
  { layout, slicing, stallCorrection }: TrafficContext & { readonly slicing: Slicing },
): Generator<void, HistoryPoint[]> {
  const tally = new Tally(endpointWidth(layout), layout)
  const points: HistoryPoint[] = []
  for (const { startMs, windows, gauges } of slices) {
    const { count, counters } = tally.clear().addAll(windows)
    const latency = tally.latency()
    const shareOf = (first: 400 | 500) => (count === 0 ? null : countClass(counters, layout, first) / count)
    const { p50, p95, p99 } = latency
    const p99Delay = longestOf(gauges.map(({ delayP99Ms }) => delayP99Ms))
    const maxDelay = longestOf(gauges.map(({ delayMaxMs }) => delayMaxMs))
    // The current slice may have just begun: one request after a millisecond is not a rate of 1,000/s.
    const lengthMs = Math.min(slicing.sliceMs, Math.max(1_000, endMs - startMs))
    points.push({
      at: new Date(startMs).toISOString(),
      count,
      perSecond: count / (lengthMs / 1_000),
      errorRate: shareOf(500),
      clientErrorRate: shareOf(400),
      latencyMs: { p50, p95, p99 },
      correctedP95Ms: stallCorrection ? tally.corrected(latency).p95 : null,
      inFlight: gauges.length === 0 ? null : gauges.reduce((sum, { inFlight }) => sum + inFlight, 0),
      cpuPercent: meanOf(gauges.map(({ cpuPercent }) => cpuPercent)),
      memoryPercent: meanOf(gauges.map(({ memoryPercent }) => memoryPercent)),
      eventLoopUtilization: meanOf(gauges.map(({ utilization }) => utilization)),
      eventLoopDelayMs: p99Delay === null || maxDelay === null ? null : { p99: p99Delay, max: maxDelay },
    })
    yield
  }
  return points
}

function longestOf(values: ReadonlyArray<number | null | undefined>): number | null {
  const known = values.filter((value) => value != null)
  return known.length === 0 ? null : Math.max(...known)
}

function meanOf(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null)
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
}
