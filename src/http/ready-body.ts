import { setImmediate } from 'node:timers/promises'

/** A body that was there, or what was there of it and how to get at the rest. */
export type ReadyBody =
  | { readonly isWhole: true; readonly bytes: Buffer }
  | {
      readonly isWhole: false
      /** What was read already, and the rest. */
      readonly pieces: AsyncIterable<Uint8Array>
      /** Gives the rest up, also while a piece is waited for. */
      cancel(): void
    }

/** A body that is made as fast as it is read is no longer taken for a whole one when it is longer than this. */
const maxReadyBytes = 1024 * 1024

/**
 * Reads what is there without waiting. The body of a response never says whether it is a text or comes in pieces, but a text
 * is read to its end before the event loop has turned once.
 */
export async function readReady(body: ReadableStream<Uint8Array>): Promise<ReadyBody> {
  const reader = body.getReader()
  const chunks: Uint8Array[] = []
  let bytes = 0
  const turn = setImmediate(undefined)
  for (;;) {
    const reading = reader.read()
    const result = await Promise.race([reading, turn])
    if (result?.done) return { isWhole: true, bytes: Buffer.concat(chunks) }
    if (result !== undefined) {
      chunks.push(result.value)
      bytes += result.value.length
    }
    if (result === undefined || (bytes > maxReadyBytes && chunks.length > 1)) {
      const next = result === undefined ? reading : reader.read()
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
  for (let result = await next; !result.done; result = await reader.read()) yield result.value
}
