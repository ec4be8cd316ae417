import type { Transform } from 'node:stream'
import { promisify } from 'node:util'
import zlib from 'node:zlib'

/** A content coding (RFC 9110, 8.4.1) that a body can be sent in. */
export type ContentCoding = 'zstd' | 'br' | 'gzip'

/** A content coding, or none. */
export type Encoding = ContentCoding | 'identity'

/** How hard each coding tries. */
export interface CodecLevels {
  /** From 1 to 9. */
  readonly gzipLevel: number
  /** From 0 to 11. */
  readonly brotliQuality: number
  /** From 1 to 19. */
  readonly zstdLevel: number
}

/** Compresses whole bodies and streams in one coding. */
export interface Codec {
  /** The bytes at once while that takes no longer than the time given when it was made, else from the thread pool. */
  encode(bytes: Buffer): Buffer | Promise<Buffer>
  /** What is written leaves soon, even when more is slow to come. The function is told what went in and out, at the end. */
  createStream(onEnd?: ((rawBytes: number, encodedBytes: number) => void) | undefined): Transform
}

/** The codings that this Node has, the best first: told by the functions themselves, as zstd came in the middle of Node 22. */
export const availableCodings: readonly ContentCoding[] =
  typeof zlib.zstdCompressSync === 'function' ? ['zstd', 'br', 'gzip'] : ['br', 'gzip']

export function createCodec(coding: ContentCoding, levels: CodecLevels, maxBlockMs: number): Codec {
  const { compressSync, compress, createStream, flush, bytesPerMs } = methods[coding](levels)
  const pace = new Pace(bytesPerMs, maxBlockMs)
  return {
    encode(bytes) {
      if (bytes.length > pace.limit) return compress(bytes)
      const startedAt = performance.now()
      const encoded = compressSync(bytes)
      pace.learn(bytes.length, performance.now() - startedAt)
      return encoded
    },
    createStream: (onEnd) => flushSoon(createStream(), flush, onEnd),
  }
}

/** Bodies up to here are compressed at once whatever the pace: the way to the thread pool takes longer. */
const alwaysAtOnce = 16 * 1024

/**
 * Learns how large a body may be to take no longer than a given time. It learns from bodies of about that size only, because
 * smaller ones go at another rate, and little from each, because any may have been interrupted.
 */
class Pace {
  readonly #maxBlockMs: number
  readonly #fastest: number
  #bytesPerMs: number

  constructor(bytesPerMs: number, maxBlockMs: number) {
    this.#bytesPerMs = bytesPerMs
    this.#fastest = bytesPerMs * 4
    this.#maxBlockMs = maxBlockMs
  }

  get limit(): number {
    return this.#maxBlockMs === 0 ? 0 : Math.max(alwaysAtOnce, this.#bytesPerMs * this.#maxBlockMs)
  }

  learn(bytes: number, ms: number): void {
    if (bytes < this.limit / 2) return
    const sample = Math.min(Math.max(bytes / ms, this.#bytesPerMs / 2), this.#fastest)
    this.#bytesPerMs += (sample - this.#bytesPerMs) / 8
  }
}

interface Methods {
  compressSync(bytes: Buffer): Buffer
  compress(bytes: Buffer): Promise<Buffer>
  createStream(): ZlibStream
  /** The operation that sends on what was written so far, and keeps the history. */
  readonly flush: number
  /** Where learning begins; measured on JSON of 100 KB. */
  readonly bytesPerMs: number
}

type ZlibStream = Transform & Pick<zlib.Gzip, 'flush' | 'bytesWritten'>

const { constants } = zlib

/** Memory for what comes out, in pieces: no larger than needed, as a small answer would keep the rest until it is sent. */
const chunkFor = (bytes: Buffer) => Math.min(Math.max(bytes.length, constants.Z_MIN_CHUNK), constants.Z_DEFAULT_CHUNK)

const methods: Readonly<Record<ContentCoding, (levels: CodecLevels) => Methods>> = {
  gzip({ gzipLevel }) {
    const compress = promisify<Buffer, zlib.ZlibOptions, Buffer>(zlib.gzip)
    const optionsFor = (bytes: Buffer): zlib.ZlibOptions => ({ level: gzipLevel, chunkSize: chunkFor(bytes) })
    return {
      compressSync: (bytes) => zlib.gzipSync(bytes, optionsFor(bytes)),
      compress: (bytes) => compress(bytes, optionsFor(bytes)),
      createStream: () => zlib.createGzip({ level: gzipLevel }),
      flush: constants.Z_SYNC_FLUSH,
      bytesPerMs: 60_000,
    }
  },
  br({ brotliQuality }) {
    const compress = promisify<Buffer, zlib.BrotliOptions, Buffer>(zlib.brotliCompress)
    const quality = { [constants.BROTLI_PARAM_QUALITY]: brotliQuality }
    // Knowing the size, the encoder allocates for it and not for the largest.
    const optionsFor = (bytes: Buffer): zlib.BrotliOptions => ({
      params: { ...quality, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
      chunkSize: chunkFor(bytes),
    })
    return {
      compressSync: (bytes) => zlib.brotliCompressSync(bytes, optionsFor(bytes)),
      compress: (bytes) => compress(bytes, optionsFor(bytes)),
      createStream: () => zlib.createBrotliCompress({ params: quality }),
      flush: constants.BROTLI_OPERATION_FLUSH,
      bytesPerMs: 85_000,
    }
  },
  zstd({ zstdLevel }) {
    const compress = promisify<Buffer, zlib.ZstdOptions, Buffer>(zlib.zstdCompress)
    const params = { [constants.ZSTD_c_compressionLevel]: zstdLevel }
    const optionsFor = (bytes: Buffer): zlib.ZstdOptions => ({ params, chunkSize: chunkFor(bytes) })
    return {
      compressSync: (bytes) => zlib.zstdCompressSync(bytes, optionsFor(bytes)),
      compress: (bytes) => compress(bytes, optionsFor(bytes)),
      createStream: () => zlib.createZstdCompress({ params }),
      flush: constants.ZSTD_e_flush,
      bytesPerMs: 300_000,
    }
  },
}

/** How long a written piece waits for more to be compressed with. */
const flushAfterMs = 10

/** Encoders hold back what is written until they have a block full; a page that is sent in pieces would stall. */
function flushSoon(
  stream: ZlibStream,
  flush: number,
  onEnd: ((rawBytes: number, encodedBytes: number) => void) | undefined,
): Transform {
  const transform = stream._transform.bind(stream)
  const push = stream.push.bind(stream)
  let encodedBytes = 0
  let timer: NodeJS.Timeout | undefined
  stream._transform = (chunk: Buffer, encoding, done) => {
    // A flush is itself written, as an empty chunk.
    if (chunk.length > 0 && timer === undefined) timer = setTimeout(flushNow, flushAfterMs).unref()
    transform(chunk, encoding, done)
  }
  stream.push = (chunk: Buffer | null) => {
    if (chunk !== null) encodedBytes += chunk.length
    return push(chunk)
  }
  stream.once('end', () => onEnd?.(stream.bytesWritten, encodedBytes))
  stream.once('close', () => clearTimeout(timer))
  function flushNow(): void {
    timer = undefined
    if (!stream.writableEnded && !stream.writableNeedDrain) stream.flush(flush)
  }
  return stream
}
