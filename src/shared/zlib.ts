import type { Transform } from 'node:stream'
import type zlib from 'node:zlib'
import { nodeZlib } from './platform/builtins.ts'

/** An algorithm of `node:zlib`. */
export type ZlibCodec = 'zstd' | 'brotli' | 'gzip'

/** Compresses and decompresses with one algorithm. Each algorithm has its own levels; `undefined` means its default. */
export interface ZlibMethods {
  compressSync(bytes: Buffer, level?: number): Buffer
  /** In the thread pool. */
  compress(bytes: Buffer, level?: number): Promise<Buffer>
  createCompressStream(level?: number): ZlibStream
  /** The flush operation that sends all bytes written so far, and keeps the history for better compression. */
  flushOperation(): number
  /** @throws if the bytes are damaged, or decompress to more than `maxBytes` */
  decompressSync(bytes: Buffer, maxBytes: number): Buffer
  /** Decompresses in the thread pool. Rejects where {@link decompressSync} throws. */
  decompress(bytes: Buffer, maxBytes: number): Promise<Buffer>
}

export type ZlibStream = Transform & Pick<zlib.Gzip, 'flush' | 'bytesWritten'>

/** Brotli's own default of 11 takes a hundred times as long, and saves only a tenth of the bytes. */
const defaultBrotliQuality = 4

/** Whether this Node has zstd, which was added in Node 22.15. */
export function hasZstd(): boolean {
  return typeof nodeZlib().zstdCompressSync === 'function'
}

export const zlibMethods: Readonly<Record<ZlibCodec, ZlibMethods>> = {
  gzip: {
    compressSync: (bytes, level) => nodeZlib().gzipSync(bytes, gzipOptions(bytes, level)),
    compress: (bytes, level) => inThreadPool((done) => nodeZlib().gzip(bytes, gzipOptions(bytes, level), done)),
    createCompressStream: (level) => nodeZlib().createGzip(level === undefined ? {} : { level }),
    flushOperation: () => nodeZlib().constants.Z_SYNC_FLUSH,
    decompressSync: (bytes, maxBytes) => nodeZlib().gunzipSync(bytes, { maxOutputLength: maxBytes }),
    decompress: (bytes, maxBytes) =>
      inThreadPool((done) => nodeZlib().gunzip(bytes, { maxOutputLength: maxBytes }, done)),
  },
  brotli: {
    compressSync: (bytes, level) => nodeZlib().brotliCompressSync(bytes, brotliOptions(bytes, level)),
    compress: (bytes, level) =>
      inThreadPool((done) => nodeZlib().brotliCompress(bytes, brotliOptions(bytes, level), done)),
    createCompressStream: (level) => nodeZlib().createBrotliCompress({ params: brotliQuality(level) }),
    flushOperation: () => nodeZlib().constants.BROTLI_OPERATION_FLUSH,
    decompressSync: (bytes, maxBytes) => nodeZlib().brotliDecompressSync(bytes, { maxOutputLength: maxBytes }),
    decompress: (bytes, maxBytes) =>
      inThreadPool((done) => nodeZlib().brotliDecompress(bytes, { maxOutputLength: maxBytes }, done)),
  },
  zstd: {
    compressSync: (bytes, level) => nodeZlib().zstdCompressSync(bytes, zstdOptions(bytes, level)),
    compress: (bytes, level) => inThreadPool((done) => nodeZlib().zstdCompress(bytes, zstdOptions(bytes, level), done)),
    createCompressStream: (level) => nodeZlib().createZstdCompress(zstdParams(level)),
    flushOperation: () => nodeZlib().constants.ZSTD_e_flush,
    decompressSync: (bytes, maxBytes) => nodeZlib().zstdDecompressSync(bytes, { maxOutputLength: maxBytes }),
    decompress: (bytes, maxBytes) =>
      inThreadPool((done) => nodeZlib().zstdDecompress(bytes, { maxOutputLength: maxBytes }, done)),
  },
}

function gzipOptions(bytes: Buffer, level: number | undefined): zlib.ZlibOptions {
  const chunkSize = chunkSizeFor(bytes)
  return level === undefined ? { chunkSize } : { level, chunkSize }
}

function brotliOptions(bytes: Buffer, quality: number | undefined): zlib.BrotliOptions {
  // With the size hint, the encoder allocates memory for this input instead of for the largest one.
  const params = { ...brotliQuality(quality), [nodeZlib().constants.BROTLI_PARAM_SIZE_HINT]: bytes.length }
  return { params, chunkSize: chunkSizeFor(bytes) }
}

function brotliQuality(quality = defaultBrotliQuality): Record<number, number> {
  return { [nodeZlib().constants.BROTLI_PARAM_QUALITY]: quality }
}

function zstdOptions(bytes: Buffer, level: number | undefined): zlib.ZstdOptions {
  return { ...zstdParams(level), chunkSize: chunkSizeFor(bytes) }
}

function zstdParams(level: number | undefined): zlib.ZstdOptions {
  return level === undefined ? {} : { params: { [nodeZlib().constants.ZSTD_c_compressionLevel]: level } }
}

/** No larger chunk than needed, because a small result keeps its whole chunk in memory until it is sent. */
function chunkSizeFor(bytes: Buffer): number {
  const { Z_MIN_CHUNK, Z_DEFAULT_CHUNK } = nodeZlib().constants
  return Math.min(Math.max(bytes.length, Z_MIN_CHUNK), Z_DEFAULT_CHUNK)
}

function inThreadPool(start: (done: (error: Error | null, bytes: Buffer) => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    start((error, bytes) => (error === null ? resolve(bytes) : reject(error)))
  })
}
