import { expectObject } from '../../shared/arguments.ts'
import { LazyResponse } from '../lazy-response.ts'
import {
  type CompressOptions,
  createResponseCompressor,
  type ResponseCompressor,
  smallerBody,
  toBufferInSlices,
  whenReady,
} from './compressor.ts'
import { type CompressibleHead, type CompressibleRequest, type EncodedHead, requestHead } from './encoding-plan.ts'

/** An answer for any framework to send. */
export interface JsonAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/**
 * Writes the data as JSON and compresses it in a coding that the client accepts.
 *
 * @param options - as of {@link createCompressor}; pass the same object each time, so that the compressor keeps what it learnt
 * @throws TypeError when the data has no JSON form, and whatever `JSON.stringify` throws
 *
 * @example
 * ```ts
 * const { status, headers, body } = await compressJson(users, request)
 * response.writeHead(status, headers).end(body)
 * ```
 */
export async function compressJson(
  data: unknown,
  request: CompressibleRequest,
  options?: CompressOptions,
): Promise<JsonAnswer> {
  expectRequest(request)
  const json = toJson(data)
  const { body, set } = await compressorFor(options).body(json, {
    ...headOfGet(request),
    header: (name) => (name === 'content-type' ? contentType : undefined),
  })
  const length = set['content-length'] ?? String(Buffer.byteLength(body))
  return { status: 200, headers: { 'content-type': contentType, 'content-length': length, ...set }, body }
}

export interface CompressedJSONResponseInit extends ResponseInit {
  /** The request to answer; its `Accept-Encoding` decides. */
  readonly request: CompressibleRequest
  /** As of {@link createCompressor}; pass the same object each time, so that the compressor keeps what it learnt. */
  readonly compress?: CompressOptions | undefined
}

/**
 * A JSON answer for fetch-style handlers, compressed in a coding that the client accepts. A body that the thread pool
 * compresses is sent when it is ready, without `Content-Length`.
 *
 * @throws TypeError when the data has no JSON form, and whatever `JSON.stringify` throws
 *
 * @example
 * ```ts
 * export default { fetch: async (request: Request) => new CompressedJSONResponse(await listUsers(), { request }) }
 * ```
 */
export class CompressedJSONResponse extends LazyResponse {
  constructor(data: unknown, given: CompressedJSONResponseInit) {
    expectObject(given, 'init')
    const { request, compress, ...init } = given
    expectRequest(request)
    const headers = new Headers(init.headers)
    if (!headers.has('content-type')) headers.set('content-type', contentType)
    const { body, set, remove } = encodeSync(toJson(data), compressorFor(compress), {
      ...headOfGet(request),
      status: init.status,
      header: (name) => headers.get(name),
    })
    for (const name of remove) headers.delete(name)
    for (const [name, value] of Object.entries(set)) headers.set(name, value)
    super(body, { ...init, headers })
  }
}

function expectRequest(request: unknown): void {
  expectObject(request, 'request')
  expectObject((request as CompressibleRequest).headers, 'request.headers')
}

/** HEAD is answered as GET, because servers send the length of the body that they leave out. */
function headOfGet(request: CompressibleRequest): ReturnType<typeof requestHead> {
  return { ...requestHead(request), method: 'GET' }
}

interface SyncEncodedBody extends EncodedHead {
  readonly body: string | Uint8Array<ArrayBuffer> | ReadableStream
}

/** A constructor cannot wait, so a body that is still being compressed becomes a stream, and its head is decided before. */
function encodeSync(json: string, { planBody, codecOf }: ResponseCompressor, head: CompressibleHead): SyncEncodedBody {
  const plan = planBody(head, json)
  if (!('coding' in plan)) return { ...plan, body: json }
  const bytes = toBufferInSlices(json)
  const encoded = whenReady(bytes, codecOf(plan.coding).encode)
  if (bytes instanceof Promise || encoded instanceof Promise) {
    return { ...plan.encoded, body: streamOf(encoded) }
  }
  return smallerBody(plan, bytes, encoded) as SyncEncodedBody
}

function streamOf(encoded: Uint8Array | Promise<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async start(controller) {
      controller.enqueue(await encoded)
      controller.close()
    },
  })
}

const contentType = 'application/json; charset=utf-8'

const defaultOptions: CompressOptions = {}
const compressorByOptions = new WeakMap<CompressOptions, ResponseCompressor>()

function compressorFor(options: CompressOptions = defaultOptions): ResponseCompressor {
  const known = compressorByOptions.get(options)
  if (known !== undefined) return known
  const compressor = createResponseCompressor(options)
  compressorByOptions.set(options, compressor)
  return compressor
}

function toJson(data: unknown): string {
  const json: string | undefined = JSON.stringify(data)
  if (json === undefined) throw new TypeError(`Expected \`data\` to have a JSON form, got a ${typeof data}`)
  return json
}
