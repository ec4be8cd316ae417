import { promisify } from 'node:util'
import zlib from 'node:zlib'

/** How the bytes of an entry are compressed. */
export type Codec = 'none' | 'zstd' | 'gzip' | 'brotli'

/** When compression is tried, and when its result is kept. */
export interface CompressionSettings {
  readonly minBytes: number
  readonly codec: Codec
  readonly minGain: number
}

/** Above this size the work goes to another thread; below, the way there costs more than the work. */
const asyncFromBytes = 64 * 1024
/** No entry may become larger than this, whatever it claims: a small one could hold a bomb. */
const maxRawBytes = 256 * 1024 * 1024

/**
 * `'auto'` becomes zstd where Node has it built in, else gzip.
 *
 * @throws TypeError when zstd is asked for and not built in
 */
export function resolveCodec(codec: 'auto' | 'zstd' | 'gzip' | 'brotli'): Codec {
  const hasZstd = typeof zlib.zstdCompressSync === 'function'
  if (codec === 'auto') return hasZstd ? 'zstd' : 'gzip'
  if (codec === 'zstd' && !hasZstd) {
    throw new TypeError(
      "Expected `compression.codec` to be built into this Node, got 'zstd' (Node 22.15 or later has it)",
    )
  }
  return codec
}

/** The bytes compressed if they are large enough and it gains enough, else as they are. */
export async function compress(
  bytes: Buffer,
  settings: false | CompressionSettings,
): Promise<{ readonly codec: Codec; readonly bytes: Buffer }> {
  if (settings === false || bytes.length < settings.minBytes) return { codec: 'none', bytes }
  const methods = codecs[settings.codec as Exclude<Codec, 'none'>]
  const packed = bytes.length < asyncFromBytes ? methods.packSync(bytes) : await methods.pack(bytes)
  const isWorthIt = packed.length <= bytes.length * (1 - settings.minGain)
  return isWorthIt ? { codec: settings.codec, bytes: packed } : { codec: 'none', bytes }
}

/**
 * The bytes as they were before {@link compress}.
 *
 * @throws when they are damaged, were compressed in an unknown way, or would become larger than `rawBytes`
 */
export async function decompress(bytes: Buffer, codec: string, rawBytes: number): Promise<Buffer> {
  if (!Object.hasOwn(codecs, codec)) throw new TypeError(`unknown codec ${codec}`)
  if (!(rawBytes <= maxRawBytes)) throw new RangeError(`an entry of ${rawBytes} bytes is too large`)
  const methods = codecs[codec as Exclude<Codec, 'none'>]
  const options = { maxOutputLength: Math.max(1, rawBytes) }
  const raw = rawBytes < asyncFromBytes ? methods.unpackSync(bytes, options) : await methods.unpack(bytes, options)
  if (raw.length !== rawBytes) throw new RangeError('an entry is truncated')
  return raw
}

interface Methods {
  pack(bytes: Buffer): Promise<Buffer>
  packSync(bytes: Buffer): Buffer
  unpack(bytes: Buffer, options: { maxOutputLength: number }): Promise<Buffer>
  unpackSync(bytes: Buffer, options: { maxOutputLength: number }): Buffer
}

/** Brotli's own default quality takes a hundred times as long for a tenth less. */
const brotliOptions: zlib.BrotliOptions = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }

const codecs: Readonly<Record<Exclude<Codec, 'none'>, Methods>> = {
  gzip: {
    pack: (bytes) => promisify(zlib.gzip)(bytes),
    packSync: (bytes) => zlib.gzipSync(bytes),
    unpack: (bytes, options) => promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gunzip)(bytes, options),
    unpackSync: (bytes, options) => zlib.gunzipSync(bytes, options),
  },
  brotli: {
    pack: (bytes) => promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliCompress)(bytes, brotliOptions),
    packSync: (bytes) => zlib.brotliCompressSync(bytes, brotliOptions),
    unpack: (bytes, options) => promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliDecompress)(bytes, options),
    unpackSync: (bytes, options) => zlib.brotliDecompressSync(bytes, options),
  },
  zstd: {
    pack: (bytes) => promisify(zlib.zstdCompress)(bytes),
    packSync: (bytes) => zlib.zstdCompressSync(bytes),
    unpack: (bytes, options) => promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdDecompress)(bytes, options),
    unpackSync: (bytes, options) => zlib.zstdDecompressSync(bytes, options),
  },
}
