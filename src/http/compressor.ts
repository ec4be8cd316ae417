import type { Transform } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { describeValue, expectWholeNumber } from '../shared/assertions.ts'
import { type Duration, parseDuration } from '../shared/duration.ts'
import { availableCodings, type Codec, type CodecLevels, type ContentCoding, createCodec } from './codecs.ts'
import {
  type CompressibleHead,
  declaredLength,
  type EncodedHead,
  type EncodingPlan,
  planEncoding,
} from './encoding-plan.ts'
import { createNegotiation } from './negotiate-encoding.ts'

/** When and how bodies are compressed. */
export interface CompressOptions {
  /** Bodies of fewer bytes are left as they are. @defaultValue 1024 */
  readonly threshold?: number | undefined
  /**
   * What may be offered, the best first. One that this Node does not have is left out.
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
   * A body is compressed at once if that blocks the event loop no longer than this, else in the thread pool. How long a
   * body takes is learnt while running, for each coding. `'0ms'` sends every body to the thread pool.
   *
   * @defaultValue `'0.5ms'`
   */
  readonly maxBlock?: Duration | undefined
}

/** A body to send, and what changes in the head. */
export interface EncodedBody extends EncodedHead {
  readonly body: string | Uint8Array
}

/** What changes in the head of a body that comes in pieces. */
export interface EncodedStream extends EncodedHead {
  /** To pipe the body through; absent when it is to be left as it is. */
  readonly encoder?: Transform | undefined
}

/** Compresses the bodies of answers; made by {@link createCompressor}. */
export interface Compressor {
  /**
   * Encodes a whole body. The result is a promise only when it is not done at once.
   *
   * @param onEncoded - told how many bytes went in and came out, when the body was encoded
   */
  body(
    body: string | Uint8Array,
    head: CompressibleHead,
    onEncoded?: OnEncoded | undefined,
  ): EncodedBody | Promise<EncodedBody>
  /**
   * Makes the encoder of a body that comes in pieces. What is written to it leaves within 10 ms.
   *
   * @param onEncoded - told at the end how many bytes went in and came out
   */
  stream(head: CompressibleHead, onEncoded?: OnEncoded | undefined): EncodedStream
}

/** Told how many bytes went in and came out of a body that was encoded. */
export type OnEncoded = (rawBytes: number, encodedBytes: number) => void

/**
 * A compressor for any server: it says what to send and which headers change, and touches neither request nor answer.
 * Answers that may be encoded get `Vary: Accept-Encoding` whether they are or not; encoded ones a weak `ETag`, the
 * `Content-Length` of what is sent where it is known, and no `Accept-Ranges`. Left as they are: HEAD, 1xx, 204, 205, 206,
 * 304, what is encoded already or must not be transformed, types that do not compress, event streams, bodies with a digest,
 * small ones, and those that would not become smaller.
 *
 * @throws TypeError or RangeError when an option is wrong
 *
 * @example
 * ```ts
 * const compressor = createCompressor({ threshold: 512 })
 * const { body, set } = await compressor.body(JSON.stringify(users), {
 *   acceptEncoding: request.headers['accept-encoding'],
 *   header: (name) => response.getHeader(name),
 * })
 * ```
 */
export function createCompressor(options: CompressOptions = {}): Compressor {
  return compressorOf(createEngine(options))
}

export function compressorOf({ planBody, plan: planFor, codecOf }: Engine): Compressor {
  return {
    body(body, head, onEncoded) {
      const plan = planBody(head, body)
      if (!('coding' in plan)) return withBody(plan, body)
      const finish = (bytes: Buffer) =>
        next(codecOf(plan.coding).encode(bytes), (encoded) => smaller(plan, bytes, encoded, onEncoded))
      return next(toBytes(body), finish)
    },

    stream(head, onEncoded) {
      const plan = planFor(head, declaredLength(head))
      if (!('coding' in plan)) return plan
      return { ...plan.encoded, encoder: codecOf(plan.coding).createStream(onEncoded) }
    },
  }
}

/** What a compressor is made of. */
export interface Engine {
  /** Whether a client could be sent an encoded body. */
  accepts(acceptEncoding: string | null | undefined): boolean
  plan(head: CompressibleHead, length: number | undefined): EncodingPlan | EncodedHead
  planBody(head: CompressibleHead, body: string | Uint8Array): EncodingPlan | EncodedHead
  codecOf(coding: ContentCoding): Codec
}

export function createEngine(options: CompressOptions): Engine {
  const { threshold, encodings, levels, maxBlockMs } = resolveOptions(options)
  const negotiate = createNegotiation(encodings)
  const codecs = Object.fromEntries(encodings.map((coding) => [coding, createCodec(coding, levels, maxBlockMs)]))
  return {
    accepts: (acceptEncoding) => negotiate(acceptEncoding).encoding !== 'identity',
    plan: (head, length) => planEncoding(head, length, threshold, negotiate),
    // A text has at least as many bytes as characters, so that those of a long one need not be counted.
    planBody: (head, body) =>
      planEncoding(head, body.length < threshold ? byteLength(body) : body.length, threshold, negotiate),
    codecOf: (coding) => codecs[coding] as Codec,
  }
}

/** The encoded body, if it is smaller or must be encoded, else the body itself. */
export function smaller(
  { mustEncode, notSmaller, encoded: head }: EncodingPlan,
  bytes: Buffer,
  encoded: Buffer,
  onEncoded?: OnEncoded | undefined,
): EncodedBody {
  if (encoded.length >= bytes.length && !mustEncode) return withBody(notSmaller, bytes)
  onEncoded?.(bytes.length, encoded.length)
  const { encoding, set, remove } = head
  return { encoding, set: { ...set, 'content-length': String(encoded.length) }, remove, body: encoded }
}

/** What follows on something that is there or promised; a promise costs more than a small body. */
export function next<Value, Result>(
  value: Value | Promise<Value>,
  then: (value: Value) => Result | Promise<Result>,
): Result | Promise<Result> {
  return value instanceof Promise ? value.then(then) : then(value)
}

function withBody({ encoding, set, remove, skipped }: EncodedHead, body: string | Uint8Array): EncodedBody {
  return { encoding, set, remove, skipped, body }
}

export function byteLength(body: string | Uint8Array): number {
  return typeof body === 'string' ? Buffer.byteLength(body) : body.byteLength
}

/** The same bytes as Node's own kind. */
export function toBuffer(body: string | Uint8Array): Buffer {
  if (typeof body === 'string') return Buffer.from(body)
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

/** Longer texts are converted in turns of the event loop: a character may take 5 ns. */
const maxCharacters = 128 * 1024

/** The same bytes as Node's own kind, of a long text in turns. */
export function toBytes(body: string | Uint8Array): Buffer | Promise<Buffer> {
  return typeof body === 'string' && body.length > maxCharacters ? convertInTurns(body) : toBuffer(body)
}

async function convertInTurns(text: string): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let start = 0, end = 0; start < text.length; start = end) {
    end = start + maxCharacters
    // A pair of surrogates is one character.
    if (/[\uD800-\uDBFF]/.test(text.charAt(end - 1))) end++
    pieces.push(Buffer.from(text.slice(start, end)))
    await turn()
  }
  return Buffer.concat(pieces)
}

interface Settings {
  readonly threshold: number
  readonly encodings: readonly ContentCoding[]
  readonly levels: CodecLevels
  readonly maxBlockMs: number
}

function resolveOptions(options: CompressOptions): Settings {
  const { threshold = 1024, gzipLevel = 6, brotliQuality = 4, zstdLevel = 3, maxBlock = '0.5ms' } = options
  return {
    threshold: expectWholeNumber(threshold, 'threshold'),
    encodings: expectEncodings(options.encodings ?? availableCodings),
    levels: {
      gzipLevel: expectWholeNumber(gzipLevel, 'gzipLevel', { min: 1, max: 9 }),
      brotliQuality: expectWholeNumber(brotliQuality, 'brotliQuality', { min: 0, max: 11 }),
      zstdLevel: expectWholeNumber(zstdLevel, 'zstdLevel', { min: 1, max: 19 }),
    },
    maxBlockMs: parseDuration(maxBlock, 'maxBlock'),
  }
}

function expectEncodings(encodings: unknown): readonly ContentCoding[] {
  const known: readonly unknown[] = ['zstd', 'br', 'gzip']
  if (!Array.isArray(encodings) || !encodings.every((coding) => known.includes(coding))) {
    const given = Array.isArray(encodings) ? encodings.find((coding) => !known.includes(coding)) : encodings
    throw new TypeError(`Expected \`encodings\` to be a list of 'zstd', 'br', 'gzip', got ${describeValue(given)}`)
  }
  return encodings.filter((coding) => availableCodings.includes(coding))
}
