import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import zlib from 'node:zlib'
import fc from 'fast-check'
import { type Cache, createCache } from 'posthaste'
import { cacheResponses, compressResponses } from 'posthaste/express'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

type Wrap = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

/** How a handler answers: long bodies are compressed in the thread pool, while answers before it and after it are under way. */
interface Answer {
  readonly bytes: number
  readonly delayMs: number
  readonly way: 'end' | 'text' | 'head' | 'pieces' | 'not modified'
}

function respond(response: ServerResponse, { bytes, delayMs, way }: Answer): void {
  const body = Buffer.alloc(bytes, 'All work and no play ')
  const answer = () => {
    response.setHeader('content-type', 'text/plain')
    if (way === 'not modified') response.writeHead(304).end()
    else if (way === 'text') response.end(body.toString())
    else if (way === 'end') response.end(body)
    else if (way === 'head') response.writeHead(200, { 'x-a': '1' }).end(body)
    else {
      response.write(body)
      setImmediate(() => response.end('end'))
    }
  }
  if (delayMs === 0) answer()
  else setTimeout(answer, delayMs)
}

interface Received {
  readonly line: string
  readonly body: string
}

/** The answers in the bytes of a connection. */
function readAnswers(bytes: Buffer): Received[] {
  const answers: Received[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n\r\n', at)
    const head = bytes.toString('latin1', at, end)
    at = end + 4
    const parts: Buffer[] = []
    const length = /content-length: (\d+)/i.exec(head)?.[1]
    if (/transfer-encoding: chunked/i.test(head)) {
      for (let size = -1; size !== 0; ) {
        const line = bytes.indexOf('\r\n', at)
        size = Number.parseInt(bytes.toString('latin1', at, line), 16)
        parts.push(bytes.subarray(line + 2, line + 2 + size))
        at = line + 2 + size + 2
      }
    } else if (length !== undefined) {
      parts.push(bytes.subarray(at, at + Number(length)))
      at += Number(length)
    }
    const raw = Buffer.concat(parts)
    const isEncoded = /content-encoding: gzip/i.test(head)
    answers.push({
      line: head.slice(0, head.indexOf('\r\n')),
      body: (isEncoded ? zlib.gunzipSync(raw) : raw).toString(),
    })
  }
  return answers
}

const answers = fc.array(
  fc.record<Answer>({
    bytes: fc.constantFrom(0, 100, 5_000, 100_000, 400_000),
    delayMs: fc.constantFrom(0, 0, 2, 4),
    way: fc.constantFrom('end', 'text', 'head', 'pieces', 'not modified'),
  }),
  { minLength: 2, maxLength: 7 },
)

const cache = createCache() as unknown as Cache
afterAll(() => cache.close())
const compressing = compressResponses() as unknown as Wrap
const caching = cacheResponses(cache, { query: ['n'] }) as unknown as Wrap

describe.each<[name: string, wrap: Wrap]>([
  ['compressResponses', compressing],
  ['cacheResponses', caching],
  ['both', (request, response, next) => compressing(request, response, () => caching(request, response, next))],
])('pipelined requests behind %s', (name, wrap) => {
  const asked = new Map<string, Answer>()
  const server = createServer((request, response) => {
    const { pathname: path } = new URL(request.url as string, 'http://x')
    Object.assign(request, { originalUrl: request.url, path })
    wrap(request, response, () => respond(response, asked.get(request.url as string) as Answer))
  })
  beforeAll(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  })
  afterAll(async () => {
    server.close()
    server.closeAllConnections()
  })

  it('are answered in their order, each with its own bytes', async () => {
    let run = 0
    await fc.assert(
      fc.asyncProperty(answers, async (drawn) => {
        run++
        const requests = drawn.map((answer, index) => {
          const path = `/${name}${run}?n=${index}`
          asked.set(path, answer)
          const connection = index === drawn.length - 1 ? 'close' : 'keep-alive'
          return `GET ${path} HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\nconnection: ${connection}\r\n\r\n`
        })
        const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
        const chunks: Buffer[] = []
        socket.on('data', (chunk: Buffer) => chunks.push(chunk))
        socket.write(requests.join(''))
        await once(socket, 'close')
        const expected = drawn.map(({ bytes, way }): Received => {
          if (way === 'not modified') return { line: 'HTTP/1.1 304 Not Modified', body: '' }
          const body = Buffer.alloc(bytes, 'All work and no play ').toString()
          return { line: 'HTTP/1.1 200 OK', body: way === 'pieces' ? `${body}end` : body }
        })
        expect(readAnswers(Buffer.concat(chunks))).toEqual(expected)
      }),
      { numRuns: Number(process.env.RUNS ?? 40), seed: Number(process.env.SEED ?? 20_26) },
    )
  })
})

it('sends a long encoded answer that has ended before its turn', async () => {
  const body = randomBytes(200_000).toString('base64')
  const first = Promise.withResolvers<ServerResponse>()
  const second = Promise.withResolvers<ServerResponse>()
  const server = createServer((request, response) => {
    Object.assign(request, { originalUrl: request.url, path: request.url })
    compressing(request, response, () => {
      response.setHeader('content-type', 'text/plain')
      if (request.url === '/first') {
        first.resolve(response)
        return
      }
      for (let at = 0; at < body.length; at += 10_000) response.write(body.slice(at, at + 10_000))
      response.end()
      second.resolve(response)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.write('GET /first HTTP/1.1\r\nhost: a\r\n\r\n')
  socket.write('GET /second HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n')
  const waiting = await second.promise
  await expect.poll(() => waiting.writableLength).toBeGreaterThan(waiting.writableHighWaterMark)
  ;(await first.promise).end('first')
  await once(socket, 'close')
  server.close()
  expect(readAnswers(Buffer.concat(chunks)).map((answer) => answer.body)).toEqual(['first', body])
})
