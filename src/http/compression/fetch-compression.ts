import type { Transform } from 'node:stream'
import { nodeStream } from '../../shared/platform/builtins.ts'
import { readReady } from '../ready-body.ts'
import type { OnEncoded } from './codecs.ts'
import type { ResponseCompressor } from './compressor.ts'
import { type CompressibleRequest, declaredLength, type EncodedHead, requestHead } from './encoding-plan.ts'

/** Encodes the body of a response in a coding that the client accepts; returns the same response if nothing changes. */
export async function compressFetchResponse(
  request: CompressibleRequest,
  response: Response,
  compressor: ResponseCompressor,
  onEncoded?: OnEncoded,
): Promise<Response> {
  const { status, headers } = response
  const head = { ...requestHead(request), status, header: (name: string) => headers.get(name) }
  const plan = compressor.plan(head, declaredLength(head))
  if (!('coding' in plan)) return withHead(response, plan)
  // Not read before: Bun would forget the type of a text.
  const { body } = response
  if (body === null) return withHead(response, plan.notSmaller)

  const ready = await readReady(body)
  if (ready.isWhole) {
    // A body that is shorter than declared was cut off. If it were encoded, it would look whole.
    if (ready.bytes.length < (declaredLength(head) ?? 0)) {
      return withBody(response, plan.notSmaller, ready.bytes as Buffer<ArrayBuffer>)
    }
    const { body: bytes, ...changes } = await compressor.body(ready.bytes, head, onEncoded)
    // The length is left to the server: `@hono/node-server` before 1.19.11 would send it twice.
    const { 'content-length': _length, ...set } = changes.set
    return withBody(response, { ...changes, set }, bytes as Uint8Array<ArrayBuffer>)
  }
  const { encoder, ...changes } = compressor.stream(head, onEncoded)
  return withBody(response, changes, toWeb(ready.pieces, encoder as Transform, ready.cancel))
}

function withHead(response: Response, changes: EncodedHead): Response {
  try {
    changeHead(response.headers, changes)
    return response
  } catch {
    // The headers of a response that `fetch()` gave are immutable.
    return withBody(response, changes, response.body)
  }
}

function withBody(
  { status, statusText, headers }: Response,
  changes: EncodedHead,
  body: ReadableStream | Uint8Array<ArrayBuffer> | null,
): Response {
  const changed = new Headers(headers)
  // The server delimits the body: by the length, if that is known now.
  changed.delete('transfer-encoding')
  changeHead(changed, changes)
  return new Response(body, { status, statusText, headers: changed })
}

function changeHead(headers: Headers, { set, remove }: EncodedHead): void {
  for (const name of remove) headers.delete(name)
  for (const name of Object.keys(set)) headers.set(name, set[name] as string)
}

/** The output of the encoder. When the client leaves, encoder and source end at once. */
function toWeb(pieces: AsyncIterable<Uint8Array>, encoder: Transform, cancel: () => void): ReadableStream {
  const { pipeline, Readable } = nodeStream()
  pipeline(Readable.from(pieces, { objectMode: false }), encoder, () => {})
  encoder.once('close', cancel)
  return Readable.toWeb(encoder) as ReadableStream
}
