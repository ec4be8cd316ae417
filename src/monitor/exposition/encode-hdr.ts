import { type BucketLayout, longestUs } from '../../shared/buckets.ts'
import type { Tally } from '../traffic/tally.ts'

/**
 * Encodes a tally for HdrHistogram's own tools: version 2, compressed, base64; values in microseconds. Its buckets are the same
 * as ours, so nothing is lost.
 */
export async function encodeHdr(tally: Tally, layout: BucketLayout): Promise<string> {
  // Loaded when needed, which is rare: its WebAssembly alone takes tens of megabytes and milliseconds.
  const module = await import('hdr-histogram-js')
  // A CommonJS package: some bundlers give all its names under `default` only.
  const { build, encodeIntoCompressedBase64 } =
    'build' in module ? module : (module as { default: typeof module }).default
  const histogram = build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: layout.digits,
  })
  for (let index = 0; index < layout.length; index++) {
    const count = tally.counters[index]!
    if (count === 0) continue
    // The shortest and the longest duration are known exactly. Of all others, only the bucket is known.
    const isFirst = histogram.totalCount === 0
    if (isFirst) histogram.recordValue(tally.minUs)
    const rest = isFirst ? count - 1 : count
    if (rest > 0) histogram.recordValueWithCount(Math.min(layout.highestOf(index), tally.maxUs), rest)
  }
  return encodeIntoCompressedBase64(histogram)
}
