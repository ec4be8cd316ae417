import type { Transform } from 'node:stream'
import { describeValue, expectFunction, expectObject, expectString } from '../../shared/arguments.ts'
import { yieldIfDue } from '../../shared/time/slices.ts'
import { type Codec, type ContentCoding, createCodec, type OnEncoded } from './codecs.ts'
import {
  type CompressOptions,
  type CompressSettings,
  compressOptions,
  resolveCompressOptions,
} from './compress-options.ts'
import { createTypeCheck } from './compressible-types.ts'
import {
  type CompressibleHead,
  declaredLength,
  type EncodedHead,
  type EncodingPlan,
  planEncoding,
} from './encoding-plan.ts'
import { createNegotiation, type Negotiated } from './negotiate-encoding.ts'

export type { CompressOptions } from './compress-options.ts'

/** A body to send, and how the head changes. */
export interface EncodedBody extends EncodedHead {
  readonly body: string | Uint8Array
}

/** How to send a body that comes in pieces. */
export interface EncodedStream extends EncodedHead {
  /** Pipe the body through it; absent when the body is sent as it is. */
  readonly encoder?: Transform | undefined
}

/** Compresses the bodies of answers; made by {@link createCompressor}. */
export interface Compressor {
  /**
   * Encodes a whole body. The result is a promise only when the thread pool compresses it, or the text is long.
   *
   * @param onEncoded - called when the body was encoded
   */
  body(
    body: string | Uint8Array,
    head: CompressibleHead,
    onEncoded?: OnEncoded | undefined,
  ): EncodedBody | Promise<EncodedBody>
  /**
   * Makes the encoder of a body that comes in pieces. It sends on each piece within 10 ms.
   *
   * @param onEncoded - called at the end of the body
   */
  stream(head: CompressibleHead, onEncoded?: OnEncoded | undefined): EncodedStream
}

/**
 * Makes a compressor for any server: it returns the body to send and the headers to change, and touches neither request nor
 * answer.
 *
 * Every answer that another client might get encoded has `Vary: Accept-Encoding`. An encoded answer also has a weak `ETag`,
 * its new `Content-Length` if that is known, and no `Accept-Ranges`.
 *
 * Not encoded are: answers to HEAD; the statuses 1xx, 204, 205, 206 and 304; answers that are already encoded or have
 * `no-transform` or a digest; types that do not compress, and event streams; and bodies that are small or would not become
 * smaller.
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
  const { body, stream } = createResponseCompressor(options)
  return {
    body(given, head, onEncoded) {
      if (typeof given !== 'string' && !(given instanceof Uint8Array)) {
        throw new TypeError(`Expected \`body\` to be a string or a Uint8Array, got ${describeValue(given)}`)
      }
      expectHead(head, onEncoded)
      return body(given, head, onEncoded)
    },
    stream(head, onEncoded) {
      expectHead(head, onEncoded)
      return stream(head, onEncoded)
    },
  }
}

function expectHead(head: unknown, onEncoded: unknown): void {
  expectObject(head, 'head', ['header'])
  const { acceptEncoding = null } = head as CompressibleHead
  if (acceptEncoding !== null) expectString(acceptEncoding, 'head.acceptEncoding')
  if (onEncoded !== undefined) expectFunction(onEncoded, 'onEncoded')
}

/** A {@link Compressor} that also gives its steps one by one, for callers that know the head before the body. */
export interface ResponseCompressor extends Compressor {
  /** What a client accepts: nothing else in its request changes the coding that it gets. */
  negotiate(acceptEncoding: string | null | undefined): Negotiated
  /** @param length - the size of the body in bytes, if it is known */
  plan(head: CompressibleHead, length: number | undefined): EncodingPlan | EncodedHead
  planBody(head: CompressibleHead, body: string | Uint8Array): EncodingPlan | EncodedHead
  codecOf(coding: ContentCoding): Codec
}

/**
 * @param kinds - the options that are allowed
 * @throws TypeError or RangeError when an option is wrong
 */
export function createResponseCompressor(
  options: CompressOptions,
  kinds: Readonly<Record<string, unknown>> = compressOptions,
): ResponseCompressor {
  return createFrom(resolveCompressOptions(options, kinds))
}

/** Makes a compressor of options that were checked. */
export function createFrom({ threshold, encodings, levels, maxBlockMs, types }: CompressSettings): ResponseCompressor {
  const negotiate = createNegotiation(encodings)
  const rules = { threshold, negotiate, isCompressible: createTypeCheck(types) }
  const codecs = Object.fromEntries(
    encodings.map((coding) => [coding, createCodec(coding, levels[coding], maxBlockMs)]),
  )
  const codecOf = (coding: ContentCoding) => codecs[coding] as Codec
  // A text has at least as many bytes as characters, so only a short one must be measured.
  const planBody = (head: CompressibleHead, body: string | Uint8Array) =>
    planEncoding(head, body.length < threshold ? Buffer.byteLength(body) : body.length, rules)

  return {
    negotiate,
    plan: (head, length) => planEncoding(head, length, rules),
    planBody,
    codecOf,

    body(body, head, onEncoded) {
      const plan = planBody(head, body)
      if (!('coding' in plan)) return withBody(plan, body)
      const finish = (bytes: Buffer) =>
        whenReady(codecOf(plan.coding).encode(bytes), (encoded) => smallerBody(plan, bytes, encoded, onEncoded))
      return whenReady(toBufferInSlices(body), finish)
    },

    stream(head, onEncoded) {
      const length = declaredLength(head)
      const plan = planEncoding(head, length, rules)
      if (!('coding' in plan)) return plan
      return { ...plan.encoded, encoder: codecOf(plan.coding).createStream(onEncoded, length) }
    },
  }
}

/** Chooses the encoded body if it is smaller or the client refuses the plain one. */
export function smallerBody(
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

/** Like `await`, but synchronous for a value that is no promise: a promise costs more than a small body. */
export function whenReady<Value, Result>(
  value: Value | Promise<Value>,
  use: (value: Value) => Result | Promise<Result>,
): Result | Promise<Result> {
  return value instanceof Promise ? value.then(use) : use(value)
}

function withBody({ encoding, set, remove, skipped }: EncodedHead, body: string | Uint8Array): EncodedBody {
  return { encoding, set, remove, skipped, body }
}

/** Bytes are not copied. */
export function toBuffer(body: string | Uint8Array): Buffer {
  if (typeof body === 'string') return Buffer.from(body)
  return Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
}

/** A character may take 5 ns. */
const maxCharactersAtOnce = 128 * 1024

/** Like {@link toBuffer}, but a long text is converted in slices, so that it does not block the event loop. */
export function toBufferInSlices(body: string | Uint8Array): Buffer | Promise<Buffer> {
  return typeof body === 'string' && body.length > maxCharactersAtOnce ? convertInSlices(body) : toBuffer(body)
}

async function convertInSlices(text: string): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let start = 0, end = 0; start < text.length; start = end) {
    end = start + maxCharactersAtOnce
    // Two surrogates are one character and must stay together.
    if (/[\uD800-\uDBFF]/.test(text.charAt(end - 1))) end++
    pieces.push(Buffer.from(text.slice(start, end)))
    await yieldIfDue()
  }
  return Buffer.concat(pieces)
}
