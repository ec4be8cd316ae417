import type { Transform } from 'node:stream'
import { nodeStream } from '../../shared/platform/builtins.ts'

/** Collects a copy of a body that comes in pieces, and drops it once the body is too long. */
export class BodyCopy {
  readonly #maxBytes: number
  #pieces: Uint8Array[] | undefined = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  add(piece: Uint8Array): void {
    this.#bytes += piece.byteLength
    if (this.#bytes > this.#maxBytes) this.#pieces = undefined
    // The handler may use its buffer again.
    this.#pieces?.push(Buffer.from(piece))
  }

  get isTooLong(): boolean {
    return this.#pieces === undefined
  }

  /** The whole body; `undefined` when it is too long. */
  read(): Buffer | undefined {
    return this.#pieces && Buffer.concat(this.#pieces)
  }
}

/**
 * Passes a body on and copies it.
 *
 * @param onCopied - receives the copy at the end of the body, or `undefined` as soon as the body is too long
 */
export function copyingStream(maxBytes: number, onCopied: (body: Buffer | undefined) => void): Transform {
  const copy = new BodyCopy(maxBytes)
  return new (nodeStream().Transform)({
    // A slow client must not slow down the handler: other requests wait for its answer.
    readableHighWaterMark: maxBytes,
    transform(chunk: Buffer, _encoding, done) {
      copy.add(chunk)
      if (copy.isTooLong) onCopied(undefined)
      done(null, chunk)
    },
    flush(done) {
      onCopied(copy.read())
      done()
    },
  })
}
