import type { Transform } from 'node:stream'
import { type ZlibCodec, type ZlibStream, zlibMethods } from '../../shared/zlib.ts'

/** A content coding (RFC 9110, 8.4.1) that a body can be sent in. */
export type ContentCoding = 'zstd' | 'br' | 'gzip'

/** A content coding, or none. */
export type Encoding = ContentCoding | 'identity'

/** Compresses whole bodies and streams in one coding. */
export interface Codec {
  /** Compresses on the event loop if that is expected to take at most `maxBlockMs`, otherwise in the thread pool. */
  encode(bytes: Buffer): Buffer | Promise<Buffer>
  /**
   * Makes a stream that sends on each written piece within some milliseconds, even when the next piece is slow to come.
   *
   * @param onEnd - called when the stream ends
   * @param leastBytes - a shorter body is an error: it was cut off, and if it were encoded, it would look whole
   */
  createStream(onEnd?: OnEncoded | undefined, leastBytes?: number | undefined): Transform
}

/** Receives the size of a body before and after it was encoded. */
export type OnEncoded = (rawBytes: number, encodedBytes: number) => void

/**
 * @param level - the coding's own: gzip 1 to 9, br 0 to 11, zstd 1 to 19
 * @param maxBlockMs - how long one body may block the event loop
 */
export function createCodec(coding: ContentCoding, level: number, maxBlockMs: number): Codec {
  const methods = zlibMethods[zlibCodecs[coding]]
  const limit = new BlockLimit(initialBytesPerMs[coding], maxBlockMs)
  return {
    encode(bytes) {
      if (bytes.length > limit.bytes) return methods.compress(bytes, level)
      const startedAt = performance.now()
      const encoded = methods.compressSync(bytes, level)
      limit.learn(bytes.length, performance.now() - startedAt)
      return encoded
    },
    createStream: (onEnd, leastBytes = 0) =>
      flushSoon(methods.createCompressStream(level), methods.flushOperation(), onEnd, leastBytes),
  }
}

const zlibCodecs: Readonly<Record<ContentCoding, ZlibCodec>> = { zstd: 'zstd', br: 'brotli', gzip: 'gzip' }

/** Measured on JSON of 100 KB. */
const initialBytesPerMs: Readonly<Record<ContentCoding, number>> = { zstd: 300_000, br: 85_000, gzip: 60_000 }

/** Smaller bodies are always compressed on the event loop, because handing them to the thread pool takes longer. */
const minLimit = 16 * 1024

/**
 * Learns how large a body may be to take no longer than a given time. It learns only from bodies of about that size, because
 * smaller ones have another rate. It learns little from each, because the operating system may have interrupted any of them.
 */
class BlockLimit {
  readonly #maxBlockMs: number
  readonly #maxBytesPerMs: number
  #bytesPerMs: number

  constructor(bytesPerMs: number, maxBlockMs: number) {
    this.#bytesPerMs = bytesPerMs
    this.#maxBytesPerMs = bytesPerMs * 4
    this.#maxBlockMs = maxBlockMs
  }

  get bytes(): number {
    return this.#maxBlockMs === 0 ? 0 : Math.max(minLimit, this.#bytesPerMs * this.#maxBlockMs)
  }

  learn(bytes: number, ms: number): void {
    if (bytes < this.bytes / 2) return
    const sample = Math.min(Math.max(bytes / ms, this.#bytesPerMs / 2), this.#maxBytesPerMs)
    this.#bytesPerMs += (sample - this.#bytesPerMs) / 8
  }
}

/** How long a written piece waits for more to be compressed with. */
const flushAfterMs = 10

/**
 * Flushes the encoder soon after each piece. It would hold back its input until a block is full, and a page that is sent in
 * pieces would stall.
 */
function flushSoon(
  stream: ZlibStream,
  flushOperation: number,
  onEnd: OnEncoded | undefined,
  leastBytes: number,
): Transform {
  const transform = stream._transform.bind(stream)
  const push = stream.push.bind(stream)
  let encodedBytes = 0
  let timer: NodeJS.Timeout | undefined
  stream._transform = (chunk: Buffer, encoding, done) => {
    // Node writes a flush as an empty chunk.
    if (chunk.length > 0 && timer === undefined) timer = setTimeout(flush, flushAfterMs).unref()
    transform(chunk, encoding, done)
  }
  stream.push = (chunk: Buffer | null) => {
    if (chunk !== null) encodedBytes += chunk.length
    return push(chunk)
  }
  stream._final = (done) =>
    done(stream.bytesWritten < leastBytes ? new Error('The body is shorter than its `Content-Length`') : null)
  stream.once('end', () => onEnd?.(stream.bytesWritten, encodedBytes))
  stream.once('close', () => clearTimeout(timer))
  function flush(): void {
    timer = undefined
    if (!stream.writableEnded && !stream.writableNeedDrain) stream.flush(flushOperation)
  }
  return stream
}
