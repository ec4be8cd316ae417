import { Transform } from 'node:stream'

/** Keeps a copy of a body that comes in pieces, up to a limit. */
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
    this.#pieces?.push(piece)
  }

  /** Whether it has become too long to keep. */
  get isTooLong(): boolean {
    return this.#pieces === undefined
  }

  /** The whole body, or `undefined` when it is too long. */
  read(): Buffer | undefined {
    return this.#pieces && Buffer.concat(this.#pieces)
  }
}

/** Passes a body on, and hands a copy over at its end, or nothing as soon as it is too long to keep. */
export function copyingStream(
  maxBytes: number,
  onCopied: (body: Buffer | undefined) => void,
  passesOn = true,
): Transform {
  const copy = new BodyCopy(maxBytes)
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      copy.add(chunk)
      if (copy.isTooLong) onCopied(undefined)
      done(null, passesOn ? chunk : undefined)
    },
    flush(done) {
      onCopied(copy.read())
      done()
    },
  })
}
