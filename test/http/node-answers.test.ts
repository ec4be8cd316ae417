import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import http2, { type IncomingHttpHeaders, type IncomingHttpStatusHeader } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import zlib from 'node:zlib'
import { type Cache, createCache } from 'posthaste'
import { cacheResponses, compressResponses } from 'posthaste/express'
import { describe, expect, it, onTestFinished } from 'vitest'
import { listen } from '../support/listen.ts'

type Wrap = (request: IncomingMessage, response: ServerResponse, next: () => void) => void

/** The port of a server whose handler answers behind the middleware. */
function listenBehind(wrap: Wrap, handler: (response: ServerResponse) => void): Promise<number> {
  const server = createServer((request, response) => {
    Object.assign(request, { originalUrl: request.url, path: request.url })
    wrap(request, response, () => handler(response))
  })
  return listen(server)
}

async function headersOverHttp2(
  wrap: Wrap,
  handler: (response: ServerResponse) => void,
): Promise<IncomingHttpHeaders & IncomingHttpStatusHeader> {
  const server = http2.createServer((request, response) => {
    Object.assign(request, { originalUrl: request.url, path: request.url })
    const [asked, answered] = [request, response] as unknown as Parameters<Wrap>
    wrap(asked, answered, () => handler(answered))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const stream = client.request({ 'accept-encoding': 'gzip' })
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & IncomingHttpStatusHeader]
  stream.resume()
  await once(stream, 'close')
  client.close()
  server.close()
  return headers
}

interface Received {
  readonly response: IncomingMessage
  readonly body: Buffer
}

async function receive(port: number): Promise<Received> {
  const request = get({ host: '127.0.0.1', port, headers: { 'accept-encoding': 'gzip' }, agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', () => {})
  await new Promise((resolve) => response.on('close', resolve))
  return { response, body: Buffer.concat(chunks) }
}

const text = 'All work and no play makes Jack a dull boy. '.repeat(100)
const compressing = compressResponses() as unknown as Wrap
const plain: Wrap = (_request, _response, next) => next()

describe('an answer that is shorter than it says', () => {
  it.each<[how: string, end: (response: ServerResponse) => void]>([
    ['in one piece', (response) => response.end(text)],
    [
      'in pieces',
      (response) => {
        response.write(text.slice(0, 2_000))
        setImmediate(() => response.end(text.slice(2_000)))
      },
    ],
  ])('looks cut off %s, encoded or not', async (_how, end) => {
    for (const wrap of [plain, compressing]) {
      const port = await listenBehind(wrap, (response) => {
        // So Node, too, ends the connection and does not wait.
        response.setHeader('connection', 'close')
        response.setHeader('content-type', 'text/plain')
        response.setHeader('content-length', String(text.length + 1))
        end(response)
      })
      expect((await receive(port)).response.complete).toBe(false)
    }
  })
})

it('is not encoded when the handler has applied a coding for the transfer', async () => {
  const coded = zlib.gzipSync(text)
  const port = await listenBehind(compressing, (response) => {
    response.setHeader('content-type', 'text/plain')
    response.setHeader('transfer-encoding', 'gzip, chunked')
    response.end(coded)
  })
  const { response, body } = await receive(port)
  expect([response.headers['content-encoding'], zlib.gunzipSync(body).toString()]).toEqual([undefined, text])
})

describe.each<[middleware: string, wrap: Wrap]>([
  ['nothing', plain],
  ['compressResponses', compressing],
])('behind %s', (_middleware, wrap) => {
  it.each<[how: string, send: (response: ServerResponse) => void]>([
    ['in one piece', (response) => response.end(Buffer.from(text))],
    ['from a stream', (response) => Readable.from([Buffer.from(text), Buffer.from(text)]).pipe(response)],
  ])('keeps a header in Latin-1 with a body %s', async (_how, send) => {
    const port = await listenBehind(wrap, (response) => {
      response.setHeader('content-type', 'text/csv')
      response.setHeader('x-name', 'Müller')
      send(response)
    })
    const { response } = await receive(port)
    expect(response.headers['x-name']).toBe('Müller')
  })
})

it('keeps its reason phrase in the cache, which is not that of a 304', async () => {
  const cache = createCache() as unknown as Cache
  onTestFinished(async () => void (await cache.close()))
  const port = await listenBehind(cacheResponses(cache) as unknown as Wrap, (response) => {
    response.statusMessage = 'Very Fine'
    response.end(text)
  })
  for (const status of ['posthaste; fwd=miss; stored', 'posthaste; hit']) {
    const { response } = await receive(port)
    expect([response.statusMessage, response.headers['cache-status']]).toEqual(['Very Fine', status])
  }
  const request = get({ host: '127.0.0.1', port, headers: { 'if-none-match': '*' }, agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  expect([response.statusCode, response.statusMessage]).toEqual([304, 'Not Modified'])
  response.resume()
})

describe('beside middleware that replaces the methods of the response', () => {
  const caching = (maxBytes: number): Wrap => {
    const cache = createCache() as unknown as Cache
    onTestFinished(async () => void (await cache.close()))
    return cacheResponses(cache, { maxBytes }) as unknown as Wrap
  }

  it.each<[middleware: string, wrap: () => Wrap]>([
    ['compressResponses', () => compressing],
    ['cacheResponses', () => caching(100_000)],
    ['cacheResponses for shorter answers', () => caching(5_000)],
  ])('%s sends a stream to its end, though `write` around it returns nothing', async (_middleware, wrap) => {
    const ours = wrap()
    const silent: Wrap = (request, response, next) => {
      const { write } = response
      Object.assign(response, { write: (...args: unknown[]) => void write.apply(response, args as never) })
      ours(request, response, next)
    }
    const port = await listenBehind(silent, (response) => {
      response.setHeader('content-type', 'text/plain')
      Readable.from([text, text, text]).pipe(response)
    })
    const { response, body } = await receive(port)
    const isEncoded = response.headers['content-encoding'] === 'gzip'
    expect((isEncoded ? zlib.gunzipSync(body) : body).toString()).toBe(text.repeat(3))
  })

  it.each<[middleware: string, wrap: () => Wrap]>([
    ['nothing', () => plain],
    ['compressResponses', () => compressing],
    ['cacheResponses', () => caching(100_000)],
    ['cacheResponses for shorter answers', () => caching(100)],
  ])('%s sends the head that a `writeHead` within it has kept for itself', async (_middleware, wrap) => {
    const ours = wrap()
    // As `http-compression` and `@polka/compression` do it.
    const keepingHead: Wrap = (request, response, next) =>
      ours(request, response, () => {
        const { writeHead, write, end } = response
        let isStarted = false
        const startThen =
          (send: (...args: never[]) => unknown) =>
          (...args: unknown[]) => {
            if (!isStarted) writeHead.call(response, response.statusCode)
            isStarted = true
            return send.apply(response, args as never)
          }
        Object.assign(response, { writeHead: () => response, write: startThen(write), end: startThen(end) })
        next()
      })
    for (const pieces of [1, 2]) {
      const port = await listenBehind(keepingHead, (response) => {
        response.setHeader('content-type', 'text/plain')
        if (pieces === 1) response.end(text)
        else Readable.from([text, text]).pipe(response)
      })
      for (let time = 0; time < 2; time++) {
        const { response, body } = await receive(port)
        const isEncoded = response.headers['content-encoding'] === 'gzip'
        const sent = (isEncoded ? zlib.gunzipSync(body) : body).toString()
        expect([response.headers['content-type'], sent]).toEqual(['text/plain', text.repeat(pieces)])
      }
    }
  })

  it('cacheResponses leaves the head open while middleware around it holds the pieces back', async () => {
    const ours = caching(100_000)
    const holding: Wrap = (request, response, next) => {
      const { end } = response
      const held: string[] = []
      Object.assign(response, {
        write: (chunk: string) => held.push(chunk) > 0,
        end: (chunk = '') => {
          held.push(String(chunk))
          response.setHeader('x-pieces', held.length)
          return end.call(response, held.join(''), 'utf8')
        },
      })
      ours(request, response, next)
    }
    const port = await listenBehind(holding, (response) => {
      response.write('first ')
      setImmediate(() => {
        response.write('second')
        response.end()
      })
    })
    const { response, body } = await receive(port)
    expect([response.headers['x-pieces'], body.toString()]).toEqual(['3', 'first second'])
    const again = await receive(port)
    expect([again.response.headers['cache-status'], again.body.toString()]).toEqual(['posthaste; hit', 'first second'])
  })

  it('cacheResponses stores the answer that a handler gives when middleware around it has refused the head', async () => {
    const ours = caching(100_000)
    let refusals = 0
    const refusing: Wrap = (request, response, next) => {
      const { writeHead } = response
      response.writeHead = (...args: unknown[]) => {
        if (refusals++ === 0) throw new Error('refused')
        return writeHead.apply(response, args as never)
      }
      ours(request, response, next)
    }
    const port = await listenBehind(refusing, (response) => {
      try {
        response.setHeader('content-type', 'text/plain')
        response.write('pieces')
      } catch {
        response.setHeader('content-type', 'text/html')
        response.end('page')
      }
    })
    for (let time = 0; time < 2; time++) {
      const { response, body } = await receive(port)
      expect([response.headers['content-type'], body.toString()]).toEqual(['text/html', 'page'])
    }
  })

  it.each<[middleware: string, wrap: () => Wrap]>([
    ['compressResponses', () => compressing],
    ['cacheResponses', () => caching(1_000_000)],
  ])('%s asks a `writeHead` within it for the head once', async (_middleware, wrap) => {
    const ours = wrap()
    const appending: Wrap = (request, response, next) =>
      ours(request, response, () => {
        const { writeHead } = response
        response.writeHead = (...args: unknown[]) => {
          response.appendHeader('set-cookie', 'a=1')
          return writeHead.apply(response, args as never)
        }
        next()
      })
    const long = text.repeat(100)
    for (const send of [
      (response: ServerResponse) => response.end(text),
      (response: ServerResponse) => response.end(long),
      (response: ServerResponse) => response.writeHead(200).end(long),
      (response: ServerResponse) => Readable.from([text, text]).pipe(response),
    ]) {
      const port = await listenBehind(appending, (response) => {
        response.setHeader('content-type', 'text/plain')
        send(response)
      })
      const { response } = await receive(port)
      expect(response.headers['set-cookie']).toEqual(['a=1'])
      const headers = await headersOverHttp2(appending, (response) => {
        response.setHeader('content-type', 'text/plain')
        send(response)
      })
      expect(headers['set-cookie']).toEqual(['a=1'])
    }
  })
})
