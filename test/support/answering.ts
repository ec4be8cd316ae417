import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, request as send } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { serve } from '@hono/node-server'
import express5 from 'express'
import express4 from 'express4'
import fastify, { type FastifyInstance } from 'fastify'
import { Hono } from 'hono'

/** What a route answers with: a body, pieces of one, or neither. */
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  readonly pieces?: () => AsyncIterable<string | Buffer>
}

/** A request as the routes see it. */
export interface AnsweredRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
}

/** Answers every request below `/`. */
export type Answerer = (request: AnsweredRequest) => Answer | Promise<Answer>

/** What is put in front of the one route, for each framework. */
export interface Installation {
  express?(app: express5.Express): void
  fastify?(app: FastifyInstance): Promise<void>
  hono?(app: Hono): void
  /** Beside the route's handler. */
  readonly route?: {
    readonly express?: express5.RequestHandler
    readonly fastify?: object
    readonly hono?: Parameters<Hono['use']>[1]
  }
}

/** A running server and how to end it. */
export interface Answering {
  readonly port: number
  close(): Promise<void>
}

/** An application with one route, at `/*`, on each framework. */
export const answering: Readonly<Record<string, (answer: Answerer, install: Installation) => Promise<Answering>>> = {
  'Express 4': (answer, install) => onExpress(express4 as unknown as typeof express5, '*', answer, install),
  'Express 5': (answer, install) => onExpress(express5, '/{*path}', answer, install),
  Fastify: onFastify,
  Hono: onHono,
}

async function onExpress(express: typeof express5, path: string, answer: Answerer, install: Installation) {
  const app = express()
  install.express?.(app)
  const before = install.route?.express ?? ((_request, _response, next) => next())
  app.all(path, before, (request, response, next) => {
    const respond = async () => {
      const { status = 200, headers = {}, body, pieces } = await answer({ ...pick(request), url: request.originalUrl })
      response.status(status).set(headers)
      if (pieces === undefined) response.send(body)
      else await pipeline(Readable.from(pieces()), response).catch(() => {})
    }
    // Express 4 does not look at what a handler returns.
    respond().catch(next)
  })
  const server = createServer(app).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return running(server)
}

async function onFastify(answer: Answerer, install: Installation) {
  const app = fastify({ forceCloseConnections: true })
  await install.fastify?.(app)
  app.route({
    method: ['GET', 'POST', 'PUT'],
    url: '/*',
    config: install.route?.fastify ?? {},
    async handler(request, reply) {
      const { status = 200, headers = {}, body, pieces } = await answer(pick(request))
      return reply
        .code(status)
        .headers(headers)
        .send(pieces === undefined ? body : Readable.from(pieces()))
    },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { port: (app.server.address() as AddressInfo).port, close: () => app.close() }
}

async function onHono(answer: Answerer, install: Installation) {
  const app = new Hono()
  install.hono?.(app)
  const before: Parameters<Hono['use']>[1] = install.route?.hono ?? ((_c, next) => next())
  app.all('/*', before, async (c) => {
    const { pathname, search } = new URL(c.req.url)
    const headers = Object.fromEntries(c.req.raw.headers)
    const answered = await answer({ method: c.req.method, url: pathname + search, headers })
    const { status = 200, body, pieces } = answered
    const content = pieces === undefined ? (body as string | undefined) : ReadableStream.from(bytesOf(pieces()))
    return new Response(content ?? null, { status, headers: { ...answered.headers } })
  })
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as ReturnType<typeof createServer>
  await once(server, 'listening')
  return running(server)
}

function pick({ method, url, headers }: { method: string; url: string; headers: IncomingHttpHeaders }) {
  return { method, url, headers }
}

export async function* bytesOf(pieces: AsyncIterable<string | Buffer>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield typeof piece === 'string' ? new TextEncoder().encode(piece) : piece
}

function running(server: ReturnType<typeof createServer>): Answering {
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** An answer as it came over the wire. */
export interface Received {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** Sends a request without any header but those given. */
export function ask(
  port: number,
  {
    method = 'GET',
    path = '/',
    headers = {},
  }: { method?: string; path?: string; headers?: Record<string, string> } = {},
): Promise<Received> {
  return new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    request.on('error', reject).end()
  })
}
