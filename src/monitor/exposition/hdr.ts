import { build, encodeIntoCompressedBase64 } from 'hdr-histogram-js'
import { type BucketLayout, longestUs } from '../buckets.ts'
import type { Tally } from '../tally.ts'

/**
 * A window as HdrHistogram's own tools read it: version 2, compressed, base64. Values are microseconds. Our buckets are
 * its buckets, so nothing is lost.
 */
export function encodeHdr(tally: Tally, layout: BucketLayout): string {
  const histogram = build({
    bitBucketSize: 32,
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: longestUs,
    numberOfSignificantValueDigits: layout.digits,
  })
  for (let index = 0; index < layout.length; index++) {
    const count = tally.cells[index]!
    if (count === 0) continue
    // The extremes are known exactly; of the others only the bucket is.
    const isFirst = histogram.totalCount === 0
    if (isFirst) histogram.recordValue(tally.minUs)
    const rest = isFirst ? count - 1 : count
    if (rest > 0) histogram.recordValueWithCount(Math.min(layout.highestOf(index), tally.maxUs), rest)
  }
  return encodeIntoCompressedBase64(histogram)
}
