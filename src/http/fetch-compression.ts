import { pipeline, Readable, type Transform } from 'node:stream'
import { type CompressibleRequest, requestHead } from './compressible-request.ts'
import { compressorOf, type Engine, type OnEncoded } from './compressor.ts'
import type { EncodedHead } from './encoding-plan.ts'
import { readReady } from './ready-body.ts'

/** The response, with its body encoded by what the client accepts; the same one when there is nothing to change. */
export async function compressFetchResponse(
  request: CompressibleRequest,
  response: Response,
  engine: Engine,
  onEncoded?: OnEncoded,
): Promise<Response> {
  const { status, headers, body } = response
  const head = { ...requestHead(request), status, header: (name: string) => headers.get(name) }
  const length = headers.get('content-length')
  const plan = engine.plan(head, length === null ? undefined : Number(length))
  if (!('coding' in plan) || body === null) return withHead(response, 'coding' in plan ? plan.notSmaller : plan)

  const ready = await readReady(body)
  const compressor = compressorOf(engine)
  if (ready.isWhole) {
    const encoded = await compressor.body(ready.bytes, head, onEncoded)
    return withBody(response, encoded, encoded.body as Uint8Array<ArrayBuffer>)
  }
  const { encoder, ...changes } = compressor.stream(head, onEncoded)
  return withBody(response, changes, toWeb(ready.pieces, encoder as Transform, ready.cancel))
}

function withHead(response: Response, changes: EncodedHead): Response {
  try {
    change(response.headers, changes)
    return response
  } catch {
    // What `fetch()` gave has headers that cannot be changed.
    return withBody(response, changes, response.body)
  }
}

function withBody(
  { status, statusText, headers }: Response,
  changes: EncodedHead,
  body: ReadableStream | Uint8Array<ArrayBuffer> | null,
): Response {
  const changed = new Headers(headers)
  change(changed, changes)
  return new Response(body, { status, statusText, headers: changed })
}

function change(headers: Headers, { set, remove }: EncodedHead): void {
  for (const name of remove) headers.delete(name)
  for (const name of Object.keys(set)) headers.set(name, set[name] as string)
}

/** What comes out of the encoder; when the client leaves, encoder and source are ended at once. */
function toWeb(pieces: AsyncIterable<Uint8Array>, encoder: Transform, cancel: () => void): ReadableStream {
  pipeline(Readable.from(pieces, { objectMode: false }), encoder, () => {})
  encoder.once('close', cancel)
  return Readable.toWeb(encoder) as ReadableStream
}
