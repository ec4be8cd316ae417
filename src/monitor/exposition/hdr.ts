import { createRequire } from 'node:module'
import { type BucketLayout, longestUs } from '../../shared/buckets.ts'
import type { Tally } from '../tally.ts'

/**
 * A window as HdrHistogram's own tools read it: version 2, compressed, base64. Values are microseconds. Our buckets are
 * its buckets, so nothing is lost.
 */
export function encodeHdr(tally: Tally, layout: BucketLayout): string {
  // Loaded when it is asked for: its WebAssembly alone takes tens of megabytes and milliseconds, which few monitors need.
  const { build, encodeIntoCompressedBase64 } = require('hdr-histogram-js') as typeof import('hdr-histogram-js')
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

const require = createRequire(import.meta.url)
