/**
 * Counters that are mostly zero, as pairs of variable-length numbers: how many zeros come before a counter, and its value. A
 * time slice of an endpoint takes hundreds of bytes instead of sixteen thousand.
 */
export type PackedCounters = Uint8Array

/** Grows to the largest result so far. Shared, because packing is synchronous. */
let scratch = new Uint8Array(0)

/** Packs whole numbers from 0 to 2^32-1. */
export function packCounters(counters: ArrayLike<number>): PackedCounters {
  if (scratch.length < counters.length * 6 + 16) scratch = new Uint8Array(counters.length * 6 + 16)
  let at = 0
  let zeros = 0
  for (let index = 0; index < counters.length; index++) {
    const count = counters[index] as number
    if (count === 0) {
      zeros++
      continue
    }
    at = writeNumber(scratch, at, zeros)
    at = writeNumber(scratch, at, count)
    zeros = 0
  }
  return scratch.slice(0, at)
}

/** Adds packed counters to the target, or subtracts them. */
export function addPackedCounters(packed: PackedCounters, target: { [index: number]: number }, sign: 1 | -1 = 1): void {
  let index = 0
  let at = 0
  const next = () => {
    let value = 0
    let byte: number
    let shift = 0
    do {
      byte = packed[at++] as number
      value |= (byte & 127) << shift
      shift += 7
    } while (byte > 127)
    return value >>> 0
  }
  while (at < packed.length) {
    index += next()
    target[index] = (target[index] as number) + sign * next()
    index++
  }
}

function writeNumber(target: Uint8Array, at: number, value: number): number {
  while (value > 127) {
    target[at++] = (value & 127) | 128
    value >>>= 7
  }
  target[at++] = value
  return at
}
