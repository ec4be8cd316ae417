import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http'
import * as http2 from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import zlib from 'node:zlib'
import { runProgram, type Seen, type Step } from './programs.ts'

/** Puts something of ours around a handler. */
export type Wrap = (request: IncomingMessage, response: ServerResponse, next: (error?: unknown) => void) => void

/** What a client received, and what the handler saw. */
export interface Exchange {
  readonly status: number | undefined
  readonly message: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly trailers: Readonly<Record<string, unknown>>
  readonly body: Buffer
  readonly isEncoded: boolean
  readonly isComplete: boolean
  readonly isReused: boolean
  readonly seen: Seen
}

export interface Peer {
  run(program: readonly Step[]): Promise<Exchange>
  close(): Promise<void>
}

/** Serves programs, and asks for them, in one version of HTTP. */
export async function startPeer(version: '1.1' | '1.0' | '2', wrap: Wrap): Promise<Peer> {
  const running = new Map<string, { program: readonly Step[]; seen: Seen; closed: () => void; finished: () => void }>()
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    const run = running.get(request.url as string)
    if (run === undefined) {
      response.end('ok')
      return
    }
    response.on('close', run.closed)
    Object.assign(request, { originalUrl: request.url, path: request.url, app: undefined })
    wrap(request, response, (error) => {
      if (error !== undefined) run.seen.errors.push(`next ${error}`)
      void runProgram(run.program, request, response, run.seen).then(run.finished)
    })
  }
  const server =
    version === '2' ? http2.createServer(handle as never) : createServer({ keepAliveTimeout: 60_000 }, handle)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = version === '2' ? askHttp2(port) : version === '1.1' ? askHttp1(port) : askHttp10(port)
  let count = 0
  return {
    async run(program) {
      const path = `/${count++}`
      const seen: Seen = { steps: [], callbacks: [], errors: [], isCut: false }
      const closing = Promise.withResolvers<void>()
      const finishing = Promise.withResolvers<void>()
      running.set(path, { program, seen, closed: closing.resolve, finished: finishing.resolve })
      const received = await client.ask(path)
      // Node tells an HTTP/2 response nothing when its stream was destroyed before.
      const timer = setTimeout(closing.resolve, 500)
      await closing.promise
      clearTimeout(timer)
      await finishing.promise
      // What Node calls back in the turn of the close.
      await new Promise(setImmediate)
      running.delete(path)
      return { ...received, ...decoded(received), seen }
    },
    async close() {
      client.close()
      const closed = once(server, 'close')
      server.close()
      if ('closeAllConnections' in server) server.closeAllConnections()
      await closed
    },
  }
}

type Received = Pick<Exchange, 'status' | 'message' | 'headers' | 'trailers' | 'body' | 'isComplete' | 'isReused'>
interface Client {
  ask(path: string): Promise<Received>
  close(): void
}

const acceptEncoding = 'gzip, br'
const nothing = {
  status: undefined,
  message: undefined,
  headers: {},
  trailers: {},
  body: Buffer.alloc(0),
  isComplete: false,
}

const patience = 1_500

function askHttp1(port: number): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = (path: string) =>
    new Promise<Received & { isOldSocket: boolean }>((resolve) => {
      const request = send({ port, host: '127.0.0.1', path, agent, headers: { 'accept-encoding': acceptEncoding } })
      request.on('error', () => resolve({ ...nothing, isReused: false, isOldSocket: request.reusedSocket }))
      request.on('response', (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', () => {})
        response.on('close', () =>
          resolve({
            status: response.statusCode,
            message: response.statusMessage,
            headers: response.headers,
            trailers: response.trailers,
            body: Buffer.concat(chunks),
            isComplete: response.complete,
            isReused: false,
            isOldSocket: request.reusedSocket,
          }),
        )
      })
      // Node itself never ends some programs.
      const timer = setTimeout(() => request.destroy(), patience)
      request.on('close', () => clearTimeout(timer))
      request.end()
    })
  return {
    async ask(path) {
      await ask('/ok')
      const received = await ask(path)
      const { isOldSocket } = await ask('/ok')
      return { ...received, isReused: isOldSocket }
    },
    close: () => agent.destroy(),
  }
}

function askHttp10(port: number): Client {
  return {
    ask: (path) =>
      new Promise((resolve) => {
        const chunks: Buffer[] = []
        const socket = connect(port, '127.0.0.1')
        // A second request on the connection tells whether the server has kept it open, and delimits the first answer.
        const head = (url: string) =>
          `GET ${url} HTTP/1.0\r\nconnection: keep-alive\r\naccept-encoding: ${acceptEncoding}\r\n\r\n`
        socket.write(head(path) + head('/ok'))
        socket.on('data', (chunk) => {
          chunks.push(chunk)
          if (Buffer.concat(chunks).toString('latin1').endsWith('\r\n\r\nok')) socket.destroy()
        })
        socket.setTimeout(patience, () => socket.destroy())
        socket.on('error', () => {})
        socket.on('close', () => resolve(readHttp10(Buffer.concat(chunks))))
      }),
    close: () => {},
  }
}

function readHttp10(bytes: Buffer): Received {
  const end = bytes.indexOf('\r\n\r\n')
  if (end === -1) return { ...nothing, isReused: false }
  const [first = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const headers: Record<string, string> = {}
  for (const line of lines) {
    const at = line.indexOf(': ')
    const key = line.slice(0, at).toLowerCase()
    headers[key] = key in headers ? `${headers[key]}, ${line.slice(at + 2)}` : line.slice(at + 2)
  }
  const text = bytes.toString('latin1')
  const second = text.endsWith('\r\n\r\nok') ? text.lastIndexOf('HTTP/1.1 200') : -1
  const isReused = second > end
  // A client of HTTP/1.0 does not know chunks, so what a handler sends in them on its own account is not read.
  const rest = bytes.subarray(end + 4, isReused ? second : undefined)
  const body = 'transfer-encoding' in headers ? Buffer.from('chunks') : rest
  const [, status, ...message] = first.split(' ')
  return { status: Number(status), message: message.join(' '), headers, trailers: {}, body, isComplete: true, isReused }
}

function askHttp2(port: number): Client {
  const open = () => http2.connect(`http://127.0.0.1:${port}`).on('error', () => {})
  let session = open()
  return {
    ask: (path) =>
      new Promise((resolve) => {
        if (session.closed || session.destroyed) session = open()
        const stream = session.request({ ':path': path, 'accept-encoding': acceptEncoding })
        const chunks: Buffer[] = []
        let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {}
        let trailers = {}
        let isComplete = false
        stream.on('response', (given) => {
          headers = given
        })
        stream.on('trailers', (given) => {
          trailers = given
        })
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('end', () => {
          isComplete = stream.rstCode === 0 && headers[':status'] !== undefined
        })
        stream.on('error', () => {})
        stream.on('close', () => {
          isComplete = isComplete && stream.rstCode === 0
          resolve({
            status: headers[':status'],
            message: undefined,
            headers: { ...headers },
            trailers: { ...trailers },
            body: Buffer.concat(chunks),
            isComplete,
            isReused: true,
          })
        })
        // Node itself never answers some programs.
        const timer = setTimeout(() => {
          stream.destroy()
          resolve({ ...nothing, isReused: true })
        }, patience)
        stream.on('close', () => clearTimeout(timer))
        stream.end()
      }),
    close: () => session.destroy(),
  }
}

/** The body without its coding, as far as it came. */
function decoded({ headers, body }: Received): Pick<Exchange, 'body' | 'isEncoded'> {
  const options = { finishFlush: zlib.constants.Z_SYNC_FLUSH }
  switch (headers['content-encoding']) {
    case 'gzip':
      return { body: body.length === 0 ? body : zlib.gunzipSync(body, options), isEncoded: true }
    case 'br':
      return { body: brotli(body), isEncoded: true }
    default:
      return { body, isEncoded: false }
  }
}

function brotli(body: Buffer): Buffer {
  return body.length === 0
    ? body
    : zlib.brotliDecompressSync(body, { finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH })
}
