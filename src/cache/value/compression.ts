import { hasZstd, type ZlibCodec, zlibMethods } from '../../shared/zlib.ts'

/** How the bytes of an entry are compressed. */
type Codec = 'none' | ZlibCodec

export interface CompressionSettings {
  readonly minBytes: number
  readonly codec: ZlibCodec
  /** The share that must be saved for the compressed bytes to be used. */
  readonly minGain: number
}

/** From this size up the work is done by another thread; for less, handing it over costs more than the work. */
const asyncFromBytes = 64 * 1024

/**
 * Resolves `'auto'` to zstd where Node has it built in, else to gzip.
 *
 * @throws TypeError when zstd is asked for and not built in
 */
export function resolveCodec(codec: 'auto' | ZlibCodec): ZlibCodec {
  if (codec === 'auto') return hasZstd() ? 'zstd' : 'gzip'
  if (codec === 'zstd' && !hasZstd()) {
    throw new TypeError(
      "Expected `compression.codec` to be built into this Node, got 'zstd' (Node 22.15 or later has it)",
    )
  }
  return codec
}

/** Compresses bytes that are large enough, unless that gains too little. */
export async function compress(
  bytes: Buffer,
  settings: false | CompressionSettings,
): Promise<{ readonly codec: Codec; readonly bytes: Buffer }> {
  if (settings === false || bytes.length < settings.minBytes) return { codec: 'none', bytes }
  const { compress, compressSync } = zlibMethods[settings.codec]
  const packed = bytes.length < asyncFromBytes ? compressSync(bytes) : await compress(bytes)
  const isWorthIt = packed.length <= bytes.length * (1 - settings.minGain)
  return isWorthIt ? { codec: settings.codec, bytes: packed } : { codec: 'none', bytes }
}

/**
 * Reverses {@link compress}. A few bytes can decompress to gigabytes, so `maxBytes` bounds the result.
 *
 * @throws when the bytes are damaged, the codec is unknown, or the result is not of `rawBytes` bytes
 */
export async function decompress(bytes: Buffer, codec: string, rawBytes: number, maxBytes: number): Promise<Buffer> {
  if (!Object.hasOwn(zlibMethods, codec)) throw new TypeError(`unknown codec ${codec}`)
  if (!(rawBytes <= maxBytes)) throw new RangeError(`an entry of ${rawBytes} bytes is too large`)
  const { decompress, decompressSync } = zlibMethods[codec as ZlibCodec]
  const limit = Math.max(1, rawBytes)
  const raw = rawBytes < asyncFromBytes ? decompressSync(bytes, limit) : await decompress(bytes, limit)
  if (raw.length !== rawBytes) throw new RangeError('an entry is truncated')
  return raw
}
