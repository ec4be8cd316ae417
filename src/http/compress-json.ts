import { type CompressibleRequest, requestHead } from './compressible-request.ts'
import {
  byteLength,
  type CompressOptions,
  compressorOf,
  createEngine,
  type Engine,
  next,
  smaller,
  toBytes,
} from './compressor.ts'
import type { EncodedHead } from './encoding-plan.ts'

/** An answer for any framework to send. */
export interface JsonAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/**
 * The data as JSON, compressed by what the client accepts.
 *
 * @param options - as of {@link createCompressor}; give the same object again, so that what it learnt is kept
 * @throws TypeError when the data has no JSON, and what `JSON.stringify` throws
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
  const json = toJson(data)
  const { body, set } = await compressorOf(engineFor(options)).body(json, {
    ...requestHead(request),
    header: (name) => (name === 'content-type' ? contentType : undefined),
  })
  const length = set['content-length'] ?? String(byteLength(body))
  return { status: 200, headers: { 'content-type': contentType, 'content-length': length, ...set }, body }
}

/** What a {@link CompressedJSONResponse} is made with. */
export interface CompressedJSONResponseInit extends ResponseInit {
  /** Says what the client accepts. */
  readonly request: CompressibleRequest
  /** As of {@link createCompressor}; give the same object again, so that what it learnt is kept. */
  readonly compress?: CompressOptions | undefined
}

/**
 * A JSON answer for fetch-style handlers, compressed by what the client of `request` accepts. A body that the thread pool
 * compresses is sent when it is ready, without `Content-Length`.
 *
 * @throws TypeError when the data has no JSON, and what `JSON.stringify` throws
 *
 * @example
 * ```ts
 * export default { fetch: async (request: Request) => new CompressedJSONResponse(await listUsers(), { request }) }
 * ```
 */
export class CompressedJSONResponse extends Response {
  constructor(data: unknown, { request, compress, ...init }: CompressedJSONResponseInit) {
    const headers = new Headers(init.headers)
    if (!headers.has('content-type')) headers.set('content-type', contentType)
    const { body, set, remove } = encodeNow(toJson(data), engineFor(compress), {
      ...requestHead(request),
      status: init.status,
      header: (name) => headers.get(name),
    })
    for (const name of remove) headers.delete(name)
    for (const [name, value] of Object.entries(set)) headers.set(name, value)
    super(body, { ...init, headers })
  }
}

type Head = Parameters<Engine['plan']>[0]

/** What {@link encodeNow} makes. */
interface Encoded extends EncodedHead {
  readonly body: string | Uint8Array<ArrayBuffer> | ReadableStream
}

/** A constructor cannot wait, so a body that is still being compressed becomes a stream, its head decided beforehand. */
function encodeNow(json: string, { planBody, codecOf }: Engine, head: Head): Encoded {
  const plan = planBody(head, json)
  if (!('coding' in plan)) return { ...plan, body: json }
  const bytes = toBytes(json)
  const encoded = next(bytes, codecOf(plan.coding).encode)
  if (bytes instanceof Promise || encoded instanceof Promise) {
    return { ...plan.encoded, body: streamOf(encoded) }
  }
  return smaller(plan, bytes, encoded) as Encoded
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

const defaults: CompressOptions = {}
const engines = new WeakMap<CompressOptions, Engine>()

/** One for each object of options, so that what it learns is kept. */
function engineFor(options: CompressOptions = defaults): Engine {
  const known = engines.get(options)
  if (known !== undefined) return known
  const engine = createEngine(options)
  engines.set(options, engine)
  return engine
}

function toJson(data: unknown): string {
  const json: string | undefined = JSON.stringify(data)
  if (json === undefined) throw new TypeError(`Expected \`data\` to have a JSON form, got a ${typeof data}`)
  return json
}
