import { describeValue, expectOptions, expectWholeNumber, type OptionKinds } from '../../shared/arguments.ts'
import { type Duration, parseDuration } from '../../shared/time/duration.ts'
import { hasZstd } from '../../shared/zlib.ts'
import type { ContentCoding } from './codecs.ts'

/** When and how bodies are compressed. */
export interface CompressOptions {
  /** Bodies of fewer bytes are sent as they are. @defaultValue 1024 */
  readonly threshold?: number | undefined
  /**
   * The codings to offer, the best first. Those that this version of Node lacks are left out.
   *
   * @defaultValue `['zstd', 'br', 'gzip']`
   */
  readonly encodings?: readonly ContentCoding[] | undefined
  /** From 1 to 9. @defaultValue 6 */
  readonly gzipLevel?: number | undefined
  /** From 0 to 11. Node's own default, 11, takes a hundred times as long for a tenth less. @defaultValue 4 */
  readonly brotliQuality?: number | undefined
  /** From 1 to 19. @defaultValue 3 */
  readonly zstdLevel?: number | undefined
  /**
   * How long compressing one body may block the event loop; bodies that would take longer go to the thread pool. How long a
   * body takes is learnt while running, for each coding. `'0ms'` sends every body to the thread pool.
   *
   * @defaultValue `'0.5ms'`
   */
  readonly maxBlock?: Duration | undefined
  /**
   * Whether bodies of a type are worth compressing; `undefined` leaves it to the types that are known to be.
   *
   * @param contentType - without parameters, in lower case
   */
  readonly types?: ((contentType: string) => boolean | undefined) | undefined
}

/** The options, checked, with their defaults. */
export interface CompressSettings {
  readonly threshold: number
  readonly encodings: readonly ContentCoding[]
  readonly levels: Readonly<Record<ContentCoding, number>>
  readonly maxBlockMs: number
  readonly types: CompressOptions['types']
}

export const compressOptions: OptionKinds<CompressOptions> = {
  threshold: 'own',
  encodings: 'own',
  gzipLevel: 'own',
  brotliQuality: 'own',
  zstdLevel: 'own',
  maxBlock: 'own',
  types: 'function',
}

/**
 * @param kinds - the options that are allowed
 * @param at - the option that these options belong to, if they are a group
 * @throws TypeError or RangeError when an option is wrong
 */
export function resolveCompressOptions(
  options: CompressOptions,
  kinds: Readonly<Record<string, unknown>>,
  at?: string,
): CompressSettings {
  expectOptions(options, kinds, at)
  const { threshold = 1024, gzipLevel = 6, brotliQuality = 4, zstdLevel = 3, maxBlock = '0.5ms', types } = options
  const available = availableCodings()
  return {
    threshold: expectWholeNumber(threshold, 'threshold'),
    encodings: expectCodings(options.encodings ?? available).filter((coding) => available.includes(coding)),
    levels: {
      gzip: expectWholeNumber(gzipLevel, 'gzipLevel', { min: 1, max: 9 }),
      br: expectWholeNumber(brotliQuality, 'brotliQuality', { min: 0, max: 11 }),
      zstd: expectWholeNumber(zstdLevel, 'zstdLevel', { min: 1, max: 19 }),
    },
    maxBlockMs: parseDuration(maxBlock, 'maxBlock'),
    types,
  }
}

/** The codings that this version of Node has, the best first. */
export function availableCodings(): readonly ContentCoding[] {
  return hasZstd() ? ['zstd', 'br', 'gzip'] : ['br', 'gzip']
}

/** @throws TypeError unless the value is a list of codings */
export function expectCodings(encodings: unknown): readonly ContentCoding[] {
  const known: readonly unknown[] = ['zstd', 'br', 'gzip']
  if (Array.isArray(encodings) && encodings.every((coding) => known.includes(coding))) return encodings
  const given = Array.isArray(encodings) ? encodings.find((coding) => !known.includes(coding)) : encodings
  throw new TypeError(`Expected \`encodings\` to be a list of 'zstd', 'br', 'gzip', got ${describeValue(given)}`)
}
