import { promisify } from 'node:util'
import { type BucketLayout, longestUs } from '../../shared/buckets.ts'
import { nodeZlib } from '../../shared/platform/builtins.ts'
import { yieldIfDue } from '../../shared/time/slices.ts'
import { toCacheRow } from '../cache-watch.ts'
import { encodeFamilies } from '../exposition/fleet-families.ts'
import type { MetricFamily } from '../exposition/metric-family.ts'
import { endpointWidth } from '../traffic/endpoint.ts'
import type { Gauges, HistorySlice } from '../traffic/history.ts'
import { addPackedCounters, packCounters } from '../traffic/packed-counters.ts'
import type { Reading } from '../traffic/reading.ts'
import { emptySums, StallCorrection, sumIndex } from '../traffic/sliding-window.ts'
import { Tally, type WindowReading } from '../traffic/tally.ts'
import type { EndpointReading } from '../traffic/traffic-stats.ts'
import type { CacheRow } from '../types.ts'
import { ByteReader, ByteWriter } from './bytes.ts'

/** The numbers that a process publishes to the fleet. */
export interface Publication {
  readonly release: string | null
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly reading: Reading
}

/** A publication is rejected when it differs in layout or window, or has more endpoints. */
export interface PublicationLimits {
  readonly layout: BucketLayout
  readonly windowMs: number
  readonly maxEndpoints: number
}

/** Larger publications are neither sent nor read. */
const maxPublicationBytes: number = 4 * 1_024 * 1_024
const maxInflatedBytes: number = maxPublicationBytes * 4

const magic = 0x5048
const version = 2
const maxNameBytes = 4_096
/** Caches are named in the code, so there are few. */
const maxCaches = 1_000
/** A window has 60 slices. */
const maxSlices = 61

/**
 * Encodes a publication with packed counters and variable-length numbers, deflated: about a kilobyte an endpoint.
 *
 * @throws RangeError when it is too large
 */
export async function encodePublication(
  { release, cpuPercent, memoryPercent, reading }: Publication,
  { layout, windowMs }: Omit<PublicationLimits, 'maxEndpoints'>,
  metrics: Iterable<MetricFamily> = [],
): Promise<Uint8Array> {
  const writer = new ByteWriter().number(magic).number(version).number(layout.digits).number(Math.round(windowMs))
  writer
    .text(release ?? '', maxNameBytes)
    .optional(cpuPercent)
    .optional(memoryPercent)
    .optional(reading.oldestMs)
    .number(reading.inFlight)
    .number(Math.round(reading.coveredMs))
    .number(reading.overflow)
    .number(reading.clamped)
  const tally = new Tally(endpointWidth(layout), layout)
  writer.number(reading.endpoints.length)
  for (const { method, route, total, lastSeen, windows } of reading.endpoints) {
    writer.text(method, maxNameBytes).text(route, maxNameBytes).number(total).float(lastSeen)
    writeTally(writer, tally.clear().addAll(windows))
    await yieldIfDue()
  }
  const timing = new Tally(layout.length, layout)
  writer.number(reading.timings.size)
  for (const [name, windows] of reading.timings) {
    writer.text(name, maxNameBytes)
    writeTally(writer, timing.clear().addAll(windows))
    await yieldIfDue()
  }
  const caches = Object.entries(reading.caches)
  writer.number(caches.length)
  for (const [name, { hits, misses, errors, state }] of caches) {
    writer.text(name, maxNameBytes)
    for (const count of [hits, misses, errors]) writer.number(Math.max(0, count))
    writer.text(state, maxNameBytes)
  }
  writer.float(reading.historyEndMs).number(reading.history.length)
  for (const { startMs, windows, gauges } of reading.history) {
    writer.float(startMs).number(gauges.length)
    for (const gauge of gauges) writeGauges(writer, gauge)
    writeTally(writer, tally.clear().addAll(windows))
    await yieldIfDue()
  }
  writer.block(await encodeFamilies(metrics))
  const inflated = writer.finish()
  const bytes = await promisify(nodeZlib().deflateRaw)(inflated)
  if (bytes.length > maxPublicationBytes || inflated.length > maxInflatedBytes)
    throw new RangeError('The publication is too large for the fleet')
  return bytes
}

/** A publication whose metrics are still encoded. */
export type DecodedPublication = Publication & { readonly metrics: Uint8Array }

/**
 * Decodes a publication of another process, and checks every number and length. Its metrics stay encoded, for `decodeFamilies`.
 *
 * @throws when it is not a publication, or one outside the limits
 */
export async function decodePublication(
  bytes: Uint8Array,
  { layout, windowMs, maxEndpoints }: PublicationLimits,
): Promise<DecodedPublication> {
  if (bytes.length > maxPublicationBytes) throw new RangeError('The publication is too large')
  const inflated = await promisify(nodeZlib().inflateRaw)(bytes, { maxOutputLength: maxInflatedBytes })
  const reader = new ByteReader(inflated)
  for (const expected of [magic, version, layout.digits, Math.round(windowMs)]) {
    if (reader.number() !== expected) throw new RangeError('The publication is of another kind')
  }
  const release = reader.text(maxNameBytes)
  const [cpuPercent, memoryPercent] = [reader.optional(), reader.optional()]
  const oldestMs = reader.optional()
  const [inFlight, coveredMs, overflow, clamped] = [reader.number(), reader.number(), reader.number(), reader.number()]
  const endpoints = readList(reader, maxEndpoints + 1, () => readEndpoint(reader, layout))
  const timings = readList(reader, maxEndpoints + 1, () => {
    const name = reader.text(maxNameBytes)
    return [name, [readWindow(reader, layout.length, layout)]] as const
  })
  const caches = readList(reader, maxCaches, () => readCache(reader))
  const historyEndMs = readTime(reader)
  const history = readList(reader, maxSlices, (): HistorySlice => {
    const startMs = readTime(reader)
    const gauges = readList(reader, 1, () => readGauges(reader))
    return { startMs, gauges, windows: [readWindow(reader, endpointWidth(layout), layout)] }
  })
  const metrics = reader.block(reader.number(maxInflatedBytes))
  if (!reader.isAtEnd) throw new RangeError('The publication goes on after its end')
  return {
    release: release === '' ? null : release,
    cpuPercent,
    memoryPercent,
    metrics,
    reading: {
      endpoints,
      timings: new Map(timings),
      caches: Object.fromEntries(caches),
      inFlight,
      oldestMs,
      coveredMs: Math.max(1_000, coveredMs),
      history,
      historyEndMs,
      overflow,
      clamped,
    },
  }
}

function writeTally(writer: ByteWriter, { counters, sums, affected, longestCorrectedUs, corrections }: Tally): void {
  writer.block(packCounters(counters))
  for (const value of sums) writer.float(value)
  writer.number(affected).float(longestCorrectedUs).number(corrections.size)
  for (const [index, change] of corrections) writer.number(index).number(change < 0 ? -2 * change - 1 : 2 * change)
}

/** A window of another process. It stays packed, so that a publication takes little more memory than its bytes. */
class PackedWindow implements WindowReading {
  readonly #packed: Uint8Array
  readonly #sums: Float64Array
  readonly #correction: StallCorrection

  constructor(packed: Uint8Array, sums: Float64Array, correction: StallCorrection) {
    this.#packed = packed
    this.#sums = sums
    this.#correction = correction
  }

  addTo(tally: Tally): void {
    addPackedCounters(this.#packed, tally.counters)
    tally.addSums(this.#sums)
    tally.addCorrection(this.#correction)
  }
}

function readWindow(reader: ByteReader, width: number, layout: BucketLayout): PackedWindow {
  const packed = reader.block(reader.number(width * 10))
  expectPackedCounters(packed, width)
  const sums = Float64Array.from({ length: emptySums().length }, () => reader.float())
  const correction = new StallCorrection()
  correction.affected = reader.number()
  correction.longestUs = reader.float()
  for (let left = reader.number(2 * layout.length); left > 0; left--) {
    const index = reader.number(layout.length - 1)
    const change = reader.number()
    correction.changes.set(index, change % 2 === 1 ? -(change + 1) / 2 : change / 2)
  }
  if (!areSums(sums) || !isDuration(correction.longestUs)) throw new RangeError('The sums cannot be those of durations')
  return new PackedWindow(packed, sums, correction)
}

/** @throws RangeError for bytes that are not packed counters, at most `length` of them */
export function expectPackedCounters(bytes: Uint8Array, length: number): void {
  const reader = new ByteReader(bytes)
  for (let index = 0; !reader.isAtEnd; index++) {
    index += reader.number(length)
    if (index >= length || reader.number(0xffff_ffff) === 0) throw new RangeError('The counters do not fit')
  }
}

/**
 * Whether these can be sums of durations. Otherwise, values that are computed from them could leave the range of numbers.
 */
function areSums(sums: Float64Array): boolean {
  const { count, total, squares, min, max, waits } = sumIndex
  const [requests, ...waitedUs] = sums.subarray(waits)
  return (
    [sums[count]!, requests!].every((value) => Number.isSafeInteger(value) && value >= 0) &&
    sums[total]! >= 0 &&
    sums[total]! <= sums[count]! * longestUs &&
    sums[squares]! >= 0 &&
    sums[squares]! <= sums[count]! * longestUs ** 2 &&
    isDuration(sums[max]!) &&
    (sums[count] === 0 ? sums[min] === Infinity : isDuration(sums[min]!)) &&
    waitedUs.every((us) => us >= 0 && us <= requests! * longestUs)
  )
}

function isDuration(us: number): boolean {
  return us >= 0 && us <= longestUs
}

function readEndpoint(reader: ByteReader, layout: BucketLayout): EndpointReading {
  const [method, route, total] = [reader.text(maxNameBytes), reader.text(maxNameBytes), reader.number()]
  const lastSeen = readTime(reader)
  return { method, route, total, lastSeen, windows: [readWindow(reader, endpointWidth(layout), layout)] }
}

function readCache(reader: ByteReader): readonly [string, CacheRow] {
  const name = reader.text(maxNameBytes)
  return [name, toCacheRow(reader.number(), reader.number(), reader.number(), reader.text(maxNameBytes))]
}

function writeGauges(writer: ByteWriter, gauges: Gauges): void {
  const { inFlight, cpuPercent, memoryPercent, utilization, delayP99Ms, delayMaxMs } = gauges
  writer.number(inFlight)
  for (const value of [cpuPercent, memoryPercent, utilization, delayP99Ms, delayMaxMs]) writer.optional(value)
}

function readGauges(reader: ByteReader): Gauges {
  return {
    inFlight: reader.number(),
    cpuPercent: reader.optional(),
    memoryPercent: reader.optional(),
    utilization: reader.optional(),
    delayP99Ms: reader.optional(),
    delayMaxMs: reader.optional(),
  }
}

function readTime(reader: ByteReader): number {
  const time = reader.float()
  if (Math.abs(time) <= latestDateMs) return time
  throw new RangeError('A time is out of range')
}

function readList<Entry>(reader: ByteReader, maxCount: number, read: () => Entry): Entry[] {
  return Array.from({ length: reader.number(maxCount) }, read)
}

/** The latest time that a `Date` can represent. */
const latestDateMs = 8.64e15
