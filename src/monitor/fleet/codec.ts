import { promisify } from 'node:util'
import { deflateRaw, inflateRaw } from 'node:zlib'
import { type BucketLayout, longestUs } from '../../shared/buckets.ts'
import { pause } from '../../shared/turns.ts'
import { endpointWidth } from '../endpoint.ts'
import { cacheRow, type Reading } from '../reading.ts'
import { addPacked, isPacked, pack } from '../sparse.ts'
import { type Countable, Tally } from '../tally.ts'
import type { EndpointReading } from '../traffic.ts'
import type { CacheRow } from '../types.ts'
import { emptySums, Shift, sum } from '../window.ts'
import { ByteReader, ByteWriter } from './bytes.ts'

/** What a process tells the others. */
export interface Publication {
  readonly release: string | null
  readonly cpuPercent: number | null
  readonly memoryPercent: number | null
  readonly windowMs: number
  readonly reading: Reading
}

/** What a publication must agree with. */
export interface PublicationLimits {
  readonly layout: BucketLayout
  readonly windowMs: number
  readonly maxEndpoints: number
}

/** Larger publications are neither sent nor read; unpacked they may be four times as large. */
const largestPublication: number = 4 * 1_024 * 1_024

const magic = 0x5048
const version = 1
const longestName = 1_024

/**
 * Packs a publication: counters sparse, numbers of variable length, deflated. About a kilobyte an endpoint.
 *
 * @throws RangeError when it is too large
 */
export async function encodePublication(publication: Publication, layout: BucketLayout): Promise<Uint8Array> {
  const { release, cpuPercent, memoryPercent, windowMs, reading } = publication
  const writer = new ByteWriter().number(magic).number(version).number(layout.digits).number(Math.round(windowMs))
  writer
    .text(release ?? '')
    .optional(cpuPercent)
    .optional(memoryPercent)
  writer.number(reading.inFlight).number(Math.round(reading.coveredMs)).number(reading.overflow).number(reading.clamped)
  const tally = new Tally(endpointWidth(layout), layout)
  writer.number(reading.endpoints.length)
  for (const { method, route, total, lastSeen, parts } of reading.endpoints) {
    writer.text(method).text(route).number(total).float(lastSeen)
    writeTally(writer, tally.clear().addAll(parts))
    await pause()
  }
  const timing = new Tally(layout.length, layout)
  writer.number(reading.timings.size)
  for (const [name, parts] of reading.timings) {
    writer.text(name)
    writeTally(writer, timing.clear().addAll(parts))
    await pause()
  }
  const caches = Object.entries(reading.caches)
  writer.number(caches.length)
  for (const [name, { hits, misses, errors, state }] of caches) {
    writer.text(name).number(Math.max(0, hits)).number(Math.max(0, misses)).number(Math.max(0, errors)).text(state)
  }
  const bytes = await promisify(deflateRaw)(writer.finish())
  if (bytes.length > largestPublication) throw new RangeError('The publication is too large for the fleet')
  return bytes
}

/**
 * Reads a publication that came from elsewhere. Everything is bounded before it is believed.
 *
 * @throws when it is no publication, one of another precision or window, or one of more endpoints than are allowed here
 */
export async function decodePublication(
  bytes: Uint8Array,
  { layout, windowMs, maxEndpoints }: PublicationLimits,
): Promise<Publication> {
  if (bytes.length > largestPublication) throw new RangeError('The publication is too large')
  const inflated = await promisify(inflateRaw)(bytes, { maxOutputLength: largestPublication * 4 })
  const reader = new ByteReader(inflated)
  for (const expected of [magic, version, layout.digits, Math.round(windowMs)]) {
    if (reader.number() !== expected) throw new RangeError('The publication is of another kind')
  }
  const release = reader.text(longestName)
  const [cpuPercent, memoryPercent] = [reader.optional(), reader.optional()]
  const [inFlight, coveredMs, overflow, clamped] = [reader.number(), reader.number(), reader.number(), reader.number()]
  const endpoints = list(reader, maxEndpoints + 1, () => readEndpoint(reader, layout))
  const timings = list(reader, maxEndpoints + 1, () => {
    const name = reader.text(longestName)
    return [name, [readTally(reader, layout.length, layout)]] as const
  })
  const caches = list(reader, maxEndpoints + 1, () => readCache(reader))
  if (!reader.isAtEnd) throw new RangeError('The publication goes on after its end')
  return {
    release: release === '' ? null : release,
    cpuPercent,
    memoryPercent,
    windowMs,
    reading: {
      endpoints,
      timings: new Map(timings),
      caches: Object.fromEntries(caches),
      inFlight,
      coveredMs: Math.max(1_000, coveredMs),
      overflow,
      clamped,
    },
  }
}

function writeTally(writer: ByteWriter, { cells, sums, affected, longestCorrectedUs, moves }: Tally): void {
  writer.block(pack(cells))
  for (const value of sums) writer.float(value)
  writer.number(affected).float(longestCorrectedUs).number(moves.size)
  for (const [index, change] of moves) writer.number(index).number(change < 0 ? -2 * change - 1 : 2 * change)
}

/** A tally of another process. It stays packed, so that what a publication takes in memory is what it is long. */
class PackedTally implements Countable {
  readonly #packed: Uint8Array
  readonly #sums: Float64Array
  readonly #shift: Shift

  constructor(packed: Uint8Array, sums: Float64Array, shift: Shift) {
    this.#packed = packed
    this.#sums = sums
    this.#shift = shift
  }

  addTo(tally: Tally): void {
    addPacked(this.#packed, tally.cells)
    tally.addSums(this.#sums)
    tally.addShift(this.#shift)
  }
}

function readTally(reader: ByteReader, width: number, layout: BucketLayout): PackedTally {
  const packed = reader.block(reader.number(width * 10))
  if (!isPacked(packed, width)) throw new RangeError('The counters do not fit')
  const sums = Float64Array.from({ length: emptySums().length }, () => reader.float())
  const shift = new Shift()
  shift.affected = reader.number()
  shift.longestUs = reader.float()
  for (let left = reader.number(2 * layout.length); left > 0; left--) {
    const index = reader.number(layout.length - 1)
    const change = reader.number()
    shift.moves.set(index, change % 2 === 1 ? -(change + 1) / 2 : change / 2)
  }
  const { [sum.count]: count, [sum.min]: min, [sum.max]: max } = sums
  const areFinite = [count, sums[sum.total], sums[sum.squares]].every((value) => value! >= 0 && value! < Infinity)
  const areDurations = [max!, shift.longestUs, count === 0 ? 0 : min!].every((us) => us >= 0 && us <= longestUs)
  if (!areFinite || !areDurations || !(min! >= 0)) throw new RangeError('The sums are none of durations')
  return new PackedTally(packed, sums, shift)
}

function readEndpoint(reader: ByteReader, layout: BucketLayout): EndpointReading {
  const [method, route, total] = [reader.text(longestName), reader.text(longestName), reader.number()]
  const lastSeen = reader.float()
  if (!(Math.abs(lastSeen) <= latestDate)) throw new RangeError('A time is no time')
  return { method, route, total, lastSeen, parts: [readTally(reader, endpointWidth(layout), layout)] }
}

function readCache(reader: ByteReader): readonly [string, CacheRow] {
  const name = reader.text(longestName)
  return [name, cacheRow(reader.number(), reader.number(), reader.number(), reader.text(longestName))]
}

function list<Entry>(reader: ByteReader, most: number, read: () => Entry): Entry[] {
  return Array.from({ length: reader.number(most) }, read)
}

/** The last moment that a `Date` can tell. */
const latestDate = 8.64e15
