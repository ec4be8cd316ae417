import { setImmediate } from 'node:timers/promises'

/** A whole body, or the pieces of one that was not ready at once. */
export type ReadyBody =
  | { readonly isWhole: true; readonly bytes: Buffer }
  | {
      readonly isWhole: false
      /** All pieces, also those that were read already. */
      readonly pieces: AsyncIterable<Uint8Array>
      /** Cancels the rest, even while the next piece is awaited. */
      cancel(): void
    }

/** A longer body is treated as one in pieces, even if its source is as fast as the reader. */
const maxReadyBytes = 1024 * 1024

/**
 * Reads as much of a body as is ready. A `Response` does not say whether its body is a text or comes in pieces, but a text can
 * be read to its end before the event loop turns.
 */
export async function readReady(body: ReadableStream<Uint8Array>): Promise<ReadyBody> {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  const nextTurn = setImmediate(undefined)
  for (;;) {
    const reading = reader.read()
    const result = await Promise.race([reading, nextTurn])
    if (result?.done) return { isWhole: true, bytes: Buffer.concat(chunks) }
    if (result !== undefined) {
      const chunk = toBytes(result.value)
      chunks.push(chunk)
      bytes += chunk.length
    }
    if (result === undefined || (bytes > maxReadyBytes && chunks.length > 1)) {
      const next = result === undefined ? reading : reader.read()
      // A source may fail before its reader comes to this piece. Without a listener, that would end the process.
      next.catch(() => {})
      return { isWhole: false, pieces: rest(chunks, next, reader), cancel: () => void reader.cancel().catch(() => {}) }
    }
  }
}

async function* rest(
  chunks: readonly Uint8Array[],
  next: ReturnType<ReadableStreamDefaultReader<Uint8Array>['read']>,
  reader: ReadableStreamDefaultReader<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* chunks
  for (let result = await next; !result.done; result = await reader.read()) yield toBytes(result.value)
}

/** Streams of text are no bodies by the standard, but servers send them. */
function toBytes(chunk: Uint8Array | string): Uint8Array {
  return typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}
